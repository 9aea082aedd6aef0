"""Speed-up by K and kind, measured and predicted."""

from dataclasses import dataclass

from paceline.cli.evaluation.findings import Evaluation, RoundCost, Speed
from paceline.cli.evaluation.report.located import Located
from paceline.cli.evaluation.report.plots import ColumnPlot, Mark, Series, drawn
from paceline.cli.evaluation.report.speeds import best_fixed, drafts_of, kinds_of, of_draft, of_kind
from paceline.cli.evaluation.report.teller import Teller
from paceline.cli.evaluation.report.units import COUNT, TIMES


@dataclass(frozen=True)
class SpeedCell:
    """A way of generating on one kind; None where it was not measured."""

    speed: Located[Speed] | None
    is_best: bool


@dataclass(frozen=True)
class SpeedRow:
    """One kind of prompts."""

    kind: str
    cells: tuple[SpeedCell, ...]


@dataclass(frozen=True)
class DraftSpeed:
    """One draft.

    Attributes:
        variants: One measurement of each way, for what it is called.
        uncertain: What has an interval that includes 1, in words; empty where nothing has.
        costs: What its rounds cost.
    """

    draft: str
    variants: tuple[Located[Speed], ...]
    rows: tuple[SpeedRow, ...]
    plots: tuple[ColumnPlot, ...]
    uncertain: str
    costs: tuple[Located[RoundCost], ...]


def draft_speeds(evaluation: Located[Evaluation], tell: Teller) -> tuple[DraftSpeed, ...]:
    """Return what was measured, draft by draft."""
    speeds: list[Located[Speed]] = list(evaluation.speed)
    views: list[DraftSpeed] = []
    for draft in drafts_of(evaluation):
        own = of_draft(speeds, draft)
        variants = tuple({speed.raw.variant: speed for speed in own}.values())
        views.append(
            DraftSpeed(
                draft,
                variants,
                tuple(_row(kind, of_kind(own, kind), variants) for kind in kinds_of(own)),
                drawn([_plot(kind, of_kind(own, kind), tell) for kind in kinds_of(own)]),
                _uncertain(own, tell),
                tuple(cost for cost in evaluation.round_costs if cost.raw.draft == draft),
            )
        )
    return tuple(view for view in views if view.rows)


def _uncertain(own: list[Located[Speed]], tell: Teller) -> str:
    cases = [
        tell.say("speed.case", kind=tell.kind(speed.raw.kind), variant=tell.variant(speed))
        for speed in own
        if _includes_one(speed.raw)
    ]
    return tell.series(cases) if cases else ""


def _includes_one(speed: Speed) -> bool:
    estimate = speed.speed_up
    return estimate is not None and estimate.count > 1 and estimate.low <= 1.0 <= estimate.high


def _row(kind: str, own: list[Located[Speed]], variants: tuple[Located[Speed], ...]) -> SpeedRow:
    measured = {speed.raw.variant: speed for speed in own}
    best = _marked(own)
    cells = [measured.get(variant.raw.variant) for variant in variants]
    return SpeedRow(kind, tuple(SpeedCell(cell, cell is not None and cell is best) for cell in cells))


def _marked(own: list[Located[Speed]]) -> Located[Speed] | None:
    """The best K; none where it does not even reach the target alone."""
    best = best_fixed(own)
    return best if best is not None and best.raw.speed_up and best.raw.speed_up.value > 1 else None


def _plot(kind: str, own: list[Located[Speed]], tell: Teller) -> ColumnPlot:
    measured = Series(tell.say("series.measured"), 0)
    predicted = Series(tell.say("series.predicted"), 1, is_hollow=True)
    best = _marked(own)
    marks: list[Mark] = []
    for place, speed in enumerate(own):
        if speed.raw.speed_up is not None:
            says = tell.say(
                "speed.mark", variant=tell.variant(speed), speed_up=tell.estimate(speed.speed_up, TIMES)
            )
            marks.append(
                Mark(place, measured, speed.speed_up.value, says, speed.speed_up, is_best=speed is best)
            )
        if speed.raw.predicted_speed_up is not None:
            says = tell.say(
                "speed.predicted-mark",
                variant=tell.variant(speed),
                speed_up=tell.measure(speed.predicted_speed_up, TIMES),
            )
            marks.append(Mark(place, predicted, speed.predicted_speed_up, says))
    return ColumnPlot(
        tell.kind(kind),
        tuple(_column(speed, tell) for speed in own),
        tell.say("speed.columns"),
        (measured, predicted),
        tuple(marks),
        TIMES,
        reference=1.0,
        has_numbers=True,
    )


def _column(speed: Located[Speed], tell: Teller) -> str:
    """K alone: the axis says what it is."""
    if speed.raw.num_draft_tokens is None:
        return tell.variant(speed)
    return COUNT.show(speed.raw.num_draft_tokens)
