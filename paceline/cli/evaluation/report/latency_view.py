"""The average against the worst case, as a user feels both."""

from dataclasses import dataclass

from paceline.cli.evaluation.findings import Evaluation, Speed
from paceline.cli.evaluation.report.located import Located
from paceline.cli.evaluation.report.plots import Mark, RowPlot, Series, drawn
from paceline.cli.evaluation.report.speeds import (
    TARGET_ONLY,
    alone,
    drafts_of,
    kinds_of,
    of_draft,
    of_kind,
    telling,
)
from paceline.cli.evaluation.report.teller import Teller
from paceline.cli.evaluation.report.units import ROUGH_MILLISECONDS

_PLACES = ("p50", "mean", "p95", "p99", "worst")


@dataclass(frozen=True)
class LatencyRow:
    """One way of generating.

    Attributes:
        gap_over_alone: Its worst gap over the target alone's; None for the target alone itself.
        request_over_alone: The same of its worst request.
    """

    name: str
    speed: Located[Speed]
    gap_over_alone: Located[float] | None
    request_over_alone: Located[float] | None


@dataclass(frozen=True)
class KindLatency:
    """One kind of prompts: the ways that a reader has to compare, and all of them."""

    kind: str
    rows: tuple[LatencyRow, ...]
    all_rows: tuple[LatencyRow, ...]


@dataclass(frozen=True)
class Latencies:
    """All kinds, and a plot for each."""

    kinds: tuple[KindLatency, ...]
    plots: tuple[RowPlot, ...]


def latencies(evaluation: Located[Evaluation], tell: Teller) -> Latencies:
    """Return what was measured, kind by kind."""
    speeds: list[Located[Speed]] = list(evaluation.speed)
    kinds = tuple(
        KindLatency(
            kind,
            tuple(_row(one, speeds, evaluation, tell) for one in telling(evaluation, kind)),
            tuple(_row(one, speeds, evaluation, tell) for one in _every(evaluation, speeds, kind)),
        )
        for kind in kinds_of(speeds)
    )
    return Latencies(kinds, drawn([_plot(kind, tell) for kind in kinds]))


def speed_name(speed: Located[Speed], evaluation: Located[Evaluation], tell: Teller) -> str:
    """Return what a way of generating is called; with its draft where there are several."""
    variant = tell.variant(speed)
    if not speed.raw.draft or len(drafts_of(evaluation)) == 1:
        return variant
    return tell.say("variants.of-draft", draft=tell.name(speed.draft), variant=variant)


def _every(evaluation: Located[Evaluation], speeds: list[Located[Speed]], kind: str) -> list[Located[Speed]]:
    base = alone(speeds, kind)
    with_drafts = [one for draft in drafts_of(evaluation) for one in of_kind(of_draft(speeds, draft), kind)]
    return with_drafts if base is None else [base, *with_drafts]


def _row(
    speed: Located[Speed], speeds: list[Located[Speed]], evaluation: Located[Evaluation], tell: Teller
) -> LatencyRow:
    base = alone(speeds, speed.raw.kind)
    name = speed_name(speed, evaluation, tell)
    if base is None or speed.raw.variant == TARGET_ONLY:
        return LatencyRow(name, speed, None, None)
    return LatencyRow(
        name,
        speed,
        speed.latency.gap_worst.over(base.latency.gap_worst),
        speed.latency.request_worst.over(base.latency.request_worst),
    )


def _plot(kind: KindLatency, tell: Teller) -> RowPlot:
    series = tuple(Series(tell.say(f"series.{place}"), look) for look, place in enumerate(_PLACES))
    marks: list[Mark] = []
    for number, row in enumerate(kind.rows):
        for one, place in zip(series, _PLACES, strict=True):
            figure = getattr(row.speed.latency, f"gap_{place}")
            value = tell.measure(figure, ROUGH_MILLISECONDS)
            marks.append(Mark(number, one, figure, tell.say("latency.mark", place=one.name, value=value)))
    names = tuple(row.name for row in kind.rows)
    return RowPlot(tell.kind(kind.kind), names, series, tuple(marks), ROUGH_MILLISECONDS)
