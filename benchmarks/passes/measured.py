"""What a case was seen to cost, and the tables that say so."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.passes.case import Case
from paceline.cli.benchmark.spread import Spread

EXACT, OFF = "exact", "off"


@dataclass(frozen=True)
class Measured:
    """One case in one mode; times in milliseconds.

    Attributes:
        mode: EXACT, with the kernels behind it where several were measured, or OFF where rows of a session share a
            subsequence and shapes follow the rows.
        case: What was computed.
        num_passes: Forward passes that it took.
        forward: From the first pass to the chosen ids on the host.
        layout: Of laying the rows out before, on the CPU.
        floor: See `benchmarks.passes.floor`.
    """

    mode: str
    case: Case
    num_passes: int
    forward: Spread
    layout: Spread
    floor: float

    @property
    def times_floor(self) -> float:
        """How many times as long as the floor it took."""
        return self.forward.median / self.floor

    def to_json(self) -> dict[str, Any]:
        """Return it for programs."""
        return {
            "mode": self.mode,
            **self.case._asdict(),
            "num_passes": self.num_passes,
            "forward_ms": asdict(self.forward),
            "layout_ms": asdict(self.layout),
            "floor_ms": self.floor,
            "times_floor": self.times_floor,
        }


def tables(measured: Sequence[Measured]) -> Iterator[str]:
    """Yield the lines of the tables in Markdown."""
    rows = sorted({one.case.num_rows for one in measured})
    yield from _times(measured, rows)
    modes = {one.mode for one in measured}
    if OFF in modes and len(modes) > 1:
        yield ""
        yield from _cost_of_exactness(measured, rows)


def _times(measured: Sequence[Measured], rows: Sequence[int]) -> Iterator[str]:
    """Times and floors, and what more rows cost beside the fewest."""
    columns = [column for num in rows for column in (f"{_rows(num)}, ms", "x floor")]
    ratios = [f"{num} over {rows[0]}" for num in rows[1:]]
    yield from _header("context", "sessions", "mode", *columns, *ratios)
    for same in _by_circumstances(measured):
        of_rows = {one.case.num_rows: one for one in same}
        cells = [cell for num in rows for cell in _cells(of_rows.get(num))]
        first = of_rows.get(rows[0])
        yield _row(
            str(same[0].case.context),
            str(same[0].case.num_sessions),
            same[0].mode,
            *cells,
            *(_ratio(of_rows.get(num), first) for num in rows[1:]),
        )


def _cost_of_exactness(measured: Sequence[Measured], rows: Sequence[int]) -> Iterator[str]:
    yield from _header("context", "sessions", "mode", *(f"exact over off, {_rows(num)}" for num in rows))
    known = {(one.mode, one.case): one for one in measured}
    exact_modes = sorted({one.mode for one in measured} - {OFF})
    for context, num_sessions in dict.fromkeys(one.case[:2] for one in measured):
        cases = [Case(context, num_sessions, num) for num in rows]
        for mode in exact_modes:
            ratios = [_ratio(known.get((mode, case)), known.get((OFF, case))) for case in cases]
            yield _row(str(context), str(num_sessions), mode, *ratios)


def _by_circumstances(measured: Sequence[Measured]) -> Iterator[list[Measured]]:
    """Yield what differs in the number of rows alone; all modes of the same circumstances behind each other."""
    groups: dict[tuple[int, int, str], list[Measured]] = {}
    for one in measured:
        groups.setdefault((one.case.context, one.case.num_sessions, one.mode), []).append(one)
    yield from (groups[key] for key in sorted(groups))


def _cells(one: Measured | None) -> tuple[str, str]:
    if one is None:
        return "", ""
    spread = one.forward
    return f"{spread.median:.2f} ({spread.low:.2f}-{spread.high:.2f})", f"{one.times_floor:.2f}"


def _ratio(one: Measured | None, other: Measured | None) -> str:
    if one is None or other is None:
        return ""
    return f"{one.forward.median / other.forward.median:.2f}"


def _rows(number: int) -> str:
    return f"{number} row{'' if number == 1 else 's'}"


def _header(*cells: str) -> Iterator[str]:
    yield _row(*cells)
    yield f"{'|---' * len(cells)}|"


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"
