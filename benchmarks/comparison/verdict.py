"""Whether what issue 5 wants to be shown holds, from what was measured."""

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.comparison.cell import CLOSED, Cell, one_core_each
from benchmarks.comparison.summary import CellSummary
from benchmarks.comparison.system import GENAI_TARGET, OURS_ADAPTIVE, OURS_TARGET, System

CODE, PROSE = "code", "prose"


@dataclass(frozen=True)
class Verdict:
    """One threshold. `measured` and `holds` are None where the run measured nothing about it."""

    show: int
    claim: str
    threshold: float
    measured: float | None
    where: str

    @property
    def holds(self) -> bool | None:
        """Whether it was reached."""
        return None if self.measured is None else self.measured >= self.threshold


def verdicts(cells: Sequence[CellSummary]) -> list[Verdict]:
    """Return a verdict for each threshold that a run of this suite can judge."""
    return [
        *_speed_ups(cells),
        *_against_genai(cells),
        *_never_slower(cells),
        *_over_distance(cells),
        *_many_sessions(cells),
    ]


def _speed_ups(cells: Sequence[CellSummary]) -> list[Verdict]:
    """Draft and target on one core each, one session."""
    wanted = [(CODE, 0.0, 2.0), (PROSE, 0.0, 1.3), (CODE, 0.7, 1.5)]
    found: list[Verdict] = []
    for kind, temperature, threshold in wanted:
        claim = f"speed-up over our target-only, one core each, {kind}, T = {temperature:g}"
        matching = [
            one
            for one in cells
            if _is_alone(one.cell)
            and one_core_each(one.cell.cores)
            and (one.cell.kind, one.cell.temperature) == (kind, temperature)
        ]
        found += _each(1, claim, threshold, matching, OURS_TARGET)
    return found


def _against_genai(cells: Sequence[CellSummary]) -> list[Verdict]:
    """All on the same cores, one session."""
    found: list[Verdict] = []
    for one in cells:
        best = one.best_speculative("genai")
        if not _is_alone(one.cell) or one_core_each(one.cell.cores):
            continue
        if best is not None:
            found += _each(2, f"against {best.title} (its best K), {one.cell.kind}", 1.0, [one], best)
        if GENAI_TARGET in one.systems:
            found += _each(2, f"against {GENAI_TARGET.title}, {one.cell.kind}", 1.0, [one], GENAI_TARGET)
    return found or [Verdict(2, "against OpenVINO GenAI on the same cores", 1.0, None, "")]


def _never_slower(cells: Sequence[CellSummary]) -> list[Verdict]:
    """The worst cell counts."""
    ratios = [
        (ratio.median, one) for one in cells if (ratio := one.ratio(OURS_ADAPTIVE, OURS_TARGET)) is not None
    ]
    claim = f"adaptive over our target-only, the worst of {len(ratios)} cells"
    if not ratios:
        return [Verdict(3, claim, 0.97, None, "")]
    value, worst = min(ratios, key=lambda pair: pair[0])
    return [Verdict(3, claim, 0.97, value, f"{worst.cell.title}, cores {worst.cell.cores}")]


def _over_distance(cells: Sequence[CellSummary]) -> list[Verdict]:
    """The speed-up at 15 ms to the target, divided by that at 0 ms through the same emulation."""
    found: list[Verdict] = []
    for far in cells:
        near = next((one for one in cells if _is_near(one.cell, far.cell)), None)
        if near is None:
            continue
        system = _judged(far)
        ratios = [one.ratio(system, OURS_TARGET) for one in (far, near)] if system else []
        if len(ratios) == 2 and ratios[0] and ratios[1]:
            claim = f"speed-up at 15 ms over that at 0 ms, {far.cell.kind}, {far.cell.num_sessions} sessions"
            where = f"{ratios[0].median:.2f} over {ratios[1].median:.2f}"
            found.append(Verdict(4, claim, 0.9, ratios[0].median / ratios[1].median, where))
    return found or [Verdict(4, "speed-up at 15 ms over that at 0 ms", 0.9, None, "")]


def _many_sessions(cells: Sequence[CellSummary]) -> list[Verdict]:
    found: list[Verdict] = []
    for one in cells:
        if one.cell.num_sessions == 16 and GENAI_TARGET in one.systems and one.cell.arrivals.kind == CLOSED:
            claim = f"16 sessions together, against GenAI's continuous batching, {one.cell.kind}"
            found += _each(6, claim, 1.0, [one], GENAI_TARGET)
            if best := one.best_speculative("genai"):
                claim = f"16 sessions together, against {best.title}, {one.cell.kind}"
                found += _each(6, claim, 1.0, [one], best)
    return found or [Verdict(6, "16 sessions together, against GenAI's continuous batching", 1.0, None, "")]


def _each(
    show: int, claim: str, threshold: float, cells: Sequence[CellSummary], base: System
) -> list[Verdict]:
    """A verdict for each cell, on the system of ours that is judged there; one that says nothing without any."""
    found: list[Verdict] = []
    for one in cells:
        system = _judged(one)
        ratio = one.ratio(system, base) if system else None
        if system is not None and ratio is not None:
            spread = f"{system.manner.name}, quartiles {ratio.low:.2f}-{ratio.high:.2f} of {ratio.count}"
            best = one.best_speculative("ours")
            best_ratio = one.ratio(best, base) if best else None
            other = f"; {best.manner.name}: {best_ratio.median:.2f}" if best and best_ratio else ""
            found.append(Verdict(show, claim, threshold, ratio.median, spread + other))
    return found or [Verdict(show, claim, threshold, None, "")]


def _judged(one: CellSummary) -> System | None:
    """Ours as it chooses by itself; the best fixed number where that was not measured."""
    return OURS_ADAPTIVE if OURS_ADAPTIVE in one.systems else one.best_speculative("ours")


def _is_alone(cell: Cell) -> bool:
    return cell.num_sessions == 1 and cell.round_trips is None and cell.arrivals.kind == CLOSED


def _is_near(near: Cell, far: Cell) -> bool:
    """Whether two cells differ by 15 ms to the target only."""
    if near.round_trips is None or far.round_trips is None:
        return False
    same = (near.cores, near.kind, near.num_sessions, near.temperature, near.arrivals) == (
        far.cores,
        far.kind,
        far.num_sessions,
        far.temperature,
        far.arrivals,
    )
    distances = (far.round_trips.target_ms, near.round_trips.target_ms)
    return same and distances == (15.0, 0.0) and far.round_trips.draft_ms in {0.0, 15.0}
