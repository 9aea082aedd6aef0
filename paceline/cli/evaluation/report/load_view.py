"""Throughput under load: tokens a second by sessions at once."""

from dataclasses import dataclass

from paceline.cli.evaluation.findings import Evaluation, Speed
from paceline.cli.evaluation.report.latency_view import speed_name
from paceline.cli.evaluation.report.located import Located
from paceline.cli.evaluation.report.plots import ColumnPlot, Mark, Series, drawn
from paceline.cli.evaluation.report.speeds import kinds_of, of_kind
from paceline.cli.evaluation.report.teller import Teller
from paceline.cli.evaluation.report.units import COUNT, RATE


@dataclass(frozen=True)
class LoadRow:
    """One way of generating; a cell is None where it was not measured with so many sessions."""

    name: str
    cells: tuple[Located[Speed] | None, ...]


@dataclass(frozen=True)
class KindLoad:
    """One kind of prompts; `columns` has one measurement of each number of sessions."""

    kind: str
    columns: tuple[Located[Speed], ...]
    rows: tuple[LoadRow, ...]


@dataclass(frozen=True)
class Load:
    """All kinds, and a plot for each."""

    kinds: tuple[KindLoad, ...]
    plots: tuple[ColumnPlot, ...]


def load_of(evaluation: Located[Evaluation], tell: Teller) -> Load:
    """Return what was measured with several sessions at once."""
    speeds: list[Located[Speed]] = list(evaluation.load)
    kinds = tuple(_kind(kind, of_kind(speeds, kind), evaluation, tell) for kind in kinds_of(speeds))
    return Load(kinds, drawn([_plot(kind, tell) for kind in kinds]))


def _kind(kind: str, speeds: list[Located[Speed]], evaluation: Located[Evaluation], tell: Teller) -> KindLoad:
    columns = {speed.raw.num_sessions: speed for speed in speeds}
    measured = {(speed.raw.draft, speed.raw.variant, speed.raw.num_sessions): speed for speed in speeds}
    ways = {(speed.raw.draft, speed.raw.variant): speed for speed in speeds}
    rows = tuple(
        LoadRow(
            speed_name(speed, evaluation, tell),
            tuple(measured.get((*way, num_sessions)) for num_sessions in sorted(columns)),
        )
        for way, speed in ways.items()
    )
    return KindLoad(kind, tuple(columns[number] for number in sorted(columns)), rows)


def _plot(kind: KindLoad, tell: Teller) -> ColumnPlot:
    series = tuple(Series(row.name, look) for look, row in enumerate(kind.rows))
    marks = [
        Mark(
            place,
            series[number],
            cell.tokens_per_second.value,
            tell.say("load.mark", name=row.name, rate=tell.estimate(cell.tokens_per_second, RATE)),
            cell.tokens_per_second,
        )
        for number, row in enumerate(kind.rows)
        for place, cell in enumerate(row.cells)
        if cell is not None
    ]
    return ColumnPlot(
        tell.kind(kind.kind),
        tuple(COUNT.show(column.raw.num_sessions) for column in kind.columns),
        tell.say("load.columns"),
        series,
        tuple(marks),
        RATE,
        has_lines=True,
    )
