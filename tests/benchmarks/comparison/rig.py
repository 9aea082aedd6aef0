"""Measured cells without measuring."""

from benchmarks.comparison.cell import Cell
from benchmarks.comparison.summary import CellSummary
from benchmarks.comparison.system import System
from benchmarks.comparison.trial import MeasuredCell, Trial
from benchmarks.peers.exchange import Answer, Arrival, Outcome


def outcome(
    seconds: float, ids: tuple[int, ...] = (1, 2, 3, 4), num_drafted: int = 0, num_accepted: int = 0
) -> Outcome:
    """One answer: an id at half the time, the rest at its end."""
    arrivals = (Arrival(seconds / 2, 1), Arrival(seconds, len(ids) - 1))
    return Outcome((Answer("q", 0.0, ids, arrivals),), num_drafted, num_accepted)


def measured(cell: Cell, **seconds: tuple[float, ...]) -> CellSummary:
    """A cell whose systems took these seconds in their repeats; `ours_k5=(1.0, 2.0)`."""
    trials = [
        Trial(key.replace("_", "-"), repeat, 0, outcome(one), 2.0, {"process": 1 << 20})
        for key, values in seconds.items()
        for repeat, one in enumerate(values)
    ]
    systems = tuple(key.replace("_", "-") for key in seconds)
    return CellSummary(cell, MeasuredCell(cell.key, systems, tuple(trials), {}, {}))


OURS_K5 = System("ours", "fixed", 5)
