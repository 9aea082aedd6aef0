"""How long passes of one session take: some rows at once, as in a verification, and tokens drawn one by one."""

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median

import numpy as np

from paceline.cli.evaluation.reading.work_groups import ChosenReport
from paceline.engine.engine import Engine
from paceline.engine.sequence import Sequence
from paceline.engine.work import TokenIds, Work

CONTEXT_TOKENS = 256
NUM_DRAWN = 8  # tokens one by one behind each other


@dataclass(frozen=True)
class PassTimes:
    """Seconds, one figure for each time that it was measured.

    Attributes:
        by_rows: Of a pass with so many rows of one sequence, at least one number of rows.
        step: Of drawing one token, the mean of a few in a row.
    """

    by_rows: dict[int, tuple[float, ...]]
    step: tuple[float, ...]

    @property
    def median_step(self) -> float:
        """The median of drawing one token."""
        return median(self.step)

    def median_of_rows(self, num_rows: int) -> float:
        """Return the median of a pass, on a straight line between the numbers of rows that were measured.

        Beyond the largest one a row more costs what it cost on average between the last two.
        """
        counts = sorted(self.by_rows)
        medians = [median(self.by_rows[count]) for count in counts]
        if num_rows > counts[-1] and len(counts) > 1:
            slope = (medians[-1] - medians[-2]) / (counts[-1] - counts[-2])
            return medians[-1] + max(0.0, slope) * (num_rows - counts[-1])
        return float(np.interp(num_rows, counts, medians))


def time_passes(
    engine: Engine, row_counts: Iterable[int], num_repeats: int, report: ChosenReport
) -> PassTimes:
    """Measure passes behind CONTEXT_TOKENS tokens, or as many as the model's context leaves.

    All sizes take turns, so that what the machine does meanwhile falls on all of them alike; the first turn warms up
    and does not count.
    """
    counts = sorted(set(row_counts))
    num_context = min(CONTEXT_TOKENS, engine.info.max_context_tokens - max(*counts, NUM_DRAWN + 1))
    sequence = engine.open_sequence()
    engine.submit(Work(sequence, 0, _ids(engine, 0, num_context))).future.result()
    by_rows: dict[int, list[float]] = {count: [] for count in counts}
    steps: list[float] = []
    for turn in range(num_repeats + 1):
        for count in counts:
            by_rows[count].append(_time_rows(engine, sequence, num_context, count, turn))
        steps.append(_time_drawing(engine, sequence, num_context, turn))
        report(turn, num_repeats)
    engine.close_sequence(sequence)
    return PassTimes({count: tuple(times[1:]) for count, times in by_rows.items()}, tuple(steps[1:]))


def _time_rows(engine: Engine, sequence: Sequence, position: int, num_rows: int, turn: int) -> float:
    ids = _ids(engine, 1 + turn, num_rows)  # others each time, so that all are computed
    work = Work(sequence, position, ids, num_selected=num_rows)
    return engine.submit(work).future.result().timing.compute_ns / 1e9


def _time_drawing(engine: Engine, sequence: Sequence, position: int, turn: int) -> float:
    work = Work(sequence, position, _ids(engine, 1 + turn, 1), num_selected=1, num_drawn=NUM_DRAWN - 1)
    timing = engine.submit(work).future.result().timing
    return timing.compute_ns / timing.num_steps / 1e9


def _ids(engine: Engine, turn: int, num_ids: int) -> TokenIds:
    return (np.arange(num_ids, dtype=np.int64) + 1000 + 100 * turn) % engine.info.vocabulary_size
