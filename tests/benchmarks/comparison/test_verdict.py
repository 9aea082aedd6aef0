"""Whether what is to be shown holds."""

from collections.abc import Sequence

from benchmarks.comparison.cell import Cell
from benchmarks.comparison.presets import ONE_CORE_EACH, SHARED_CORES
from benchmarks.comparison.summary import CellSummary
from benchmarks.comparison.verdict import Verdict, verdicts
from benchmarks.peers.exchange import RoundTrips
from tests.benchmarks.comparison.rig import measured


def of(show: int, cells: Sequence[CellSummary]) -> list[Verdict]:
    return [one for one in verdicts(cells) if one.show == show]


def test_nothing_measured_is_no_verdict() -> None:
    assert {one.show for one in verdicts([])} == {1, 2, 3, 4, 6}
    assert all(one.holds is None for one in verdicts([]))


def test_the_speed_up_counts_with_one_core_each_only() -> None:
    apart, shared = (Cell(cores, "code", 1, ()) for cores in (ONE_CORE_EACH, SHARED_CORES))
    cells = [measured(one, ours_target=(2.0,), ours_adaptive=(1.0,)) for one in (apart, shared)]
    (code,) = [one for one in of(1, cells) if "code, T = 0" in one.claim and one.measured is not None]
    assert (code.measured, code.holds) == (2.0, True)


def test_genai_is_met_at_its_best_number_and_alone() -> None:
    cell = Cell(SHARED_CORES, "prose", 1, ())
    times = {"ours_adaptive": (1.0,), "genai_target": (1.1,), "genai_k3": (3.0,), "genai_k5": (0.9,)}
    best, alone = of(2, [measured(cell, **times)])
    assert "K = 5" in best.claim
    assert best.holds is False
    assert alone.holds is True


def test_the_worst_cell_decides_whether_adaptive_is_ever_slower() -> None:
    cells = [
        measured(Cell(ONE_CORE_EACH, kind, 1, ()), ours_target=(1.0,), ours_adaptive=(seconds,))
        for kind, seconds in (("code", 0.5), ("chat", 1.1), ("prose", 1.01))
    ]
    (worst,) = of(3, cells)
    assert worst.holds is False
    assert worst.where.startswith("chat")
    assert of(3, [cells[0], cells[2]])[0].holds is True


def test_the_speed_up_far_away_is_compared_with_that_through_the_same_emulation() -> None:
    near, far, loopback = (
        Cell(ONE_CORE_EACH, "code", 1, (), distance)
        for distance in (RoundTrips(0.0, 0.0), RoundTrips(15.0, 0.0), None)
    )
    cells = [
        measured(near, ours_target=(4.0,), ours_adaptive=(2.0,)),
        measured(far, ours_target=(4.0,), ours_adaptive=(2.5,)),
        measured(loopback, ours_target=(4.0,), ours_adaptive=(1.0,)),
    ]
    (one,) = of(4, cells)
    assert (one.measured, one.holds) == (0.8, False)


def test_sixteen_sessions_are_compared_with_continuous_batching() -> None:
    cell = Cell(SHARED_CORES, "code", 16, ())
    (one,) = of(6, [measured(cell, ours_adaptive=(1.0,), genai_target=(1.0,))])
    assert (one.measured, one.holds) == (1.0, True)
