"""How well a draft meets the target: by kind, sampling and place in a round."""

from dataclasses import dataclass

from paceline.cli.evaluation.findings import Acceptance, Evaluation
from paceline.cli.evaluation.report.located import Located
from paceline.cli.evaluation.report.plots import ColumnPlot, Mark, Series, drawn
from paceline.cli.evaluation.report.speeds import drafts_of
from paceline.cli.evaluation.report.teller import Teller
from paceline.cli.evaluation.report.units import COUNT, ROUGH_SHARE

ALL_KINDS = "all"


@dataclass(frozen=True)
class KindAcceptance:
    """One kind of prompts, in each way of sampling."""

    kind: str
    rows: tuple[Located[Acceptance], ...]


@dataclass(frozen=True)
class DraftAcceptance:
    """One draft.

    Attributes:
        places: As many as the longest round has.
        numbers: The Ks, as keys of `tokens_per_round`.
    """

    draft: str
    kinds: tuple[KindAcceptance, ...]
    places: range
    numbers: tuple[str, ...]
    plots: tuple[ColumnPlot, ...]


def draft_acceptances(evaluation: Located[Evaluation], tell: Teller) -> tuple[DraftAcceptance, ...]:
    """Return what was read, draft by draft."""
    views: list[DraftAcceptance] = []
    for draft in drafts_of(evaluation):
        own: list[Located[Acceptance]] = [one for one in evaluation.acceptance if one.raw.draft == draft]
        if not own:
            continue
        numbers = {number for one in own for number in one.raw.tokens_per_round}
        samplings = dict.fromkeys(one.raw.sampling for one in own)
        views.append(
            DraftAcceptance(
                draft,
                _by_kind(own),
                range(max(len(one.raw.per_position) for one in own)),
                tuple(sorted(numbers, key=int)),
                drawn([_plot(sampling, own, tell) for sampling in samplings]),
            )
        )
    return tuple(views)


def _by_kind(own: list[Located[Acceptance]]) -> tuple[KindAcceptance, ...]:
    """All kinds together come last."""
    kinds = sorted(dict.fromkeys(one.raw.kind for one in own), key=lambda kind: kind == ALL_KINDS)
    return tuple(KindAcceptance(kind, tuple(one for one in own if one.raw.kind == kind)) for kind in kinds)


def _plot(sampling: str, own: list[Located[Acceptance]], tell: Teller) -> ColumnPlot:
    rows = [one for one in own if one.raw.sampling == sampling and one.raw.kind != ALL_KINDS]
    series = tuple(Series(tell.kind(one.raw.kind), look) for look, one in enumerate(rows))
    num_places = max((len(one.raw.per_position) for one in rows), default=0)
    marks = [
        Mark(
            place,
            series[number],
            figure,
            tell.say(
                "acceptance.mark",
                kind=tell.kind(one.raw.kind),
                place=COUNT.show(place + 1),
                share=tell.measure(figure, ROUGH_SHARE),
            ),
        )
        for number, one in enumerate(rows)
        for place, figure in enumerate(one.per_position)
    ]
    return ColumnPlot(
        tell.word("samplings", sampling),
        tuple(COUNT.show(place + 1) for place in range(num_places)),
        tell.say("acceptance.columns"),
        series,
        tuple(marks),
        ROUGH_SHARE,
        has_lines=True,
    )
