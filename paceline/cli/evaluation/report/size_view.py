"""Size ratio of the models: the rule of thumb, and what the measurements say of it."""

from dataclasses import dataclass

from paceline.cli.evaluation.findings import Evaluation, SizeRatio, Verdict
from paceline.cli.evaluation.report.located import Located
from paceline.cli.evaluation.report.statement import DO_NOT_USE
from paceline.cli.evaluation.report.teller import Teller
from paceline.cli.evaluation.report.units import ROUGH_SHARE, ROUGH_TIMES

RULE_OF_THUMB = 10.0  # times as many parameters in the target


@dataclass(frozen=True)
class DraftSize:
    """One draft; `says` is what the measurements say of the rule, empty where there is no verdict."""

    ratio: Located[SizeRatio]
    verdict: Located[Verdict] | None
    says: str


def draft_sizes(evaluation: Located[Evaluation], tell: Teller) -> tuple[DraftSize, ...]:
    """Return the ratios, draft by draft."""
    verdicts: dict[str, Located[Verdict]] = {one.raw.draft: one for one in evaluation.verdicts}
    return tuple(
        DraftSize(ratio, verdict, _says(ratio, verdict, tell))
        for ratio in evaluation.size_ratios
        for verdict in [verdicts.get(ratio.raw.draft)]
    )


def numbers_of(sizes: tuple[DraftSize, ...]) -> tuple[str, ...]:
    """Return the Ks that a break-even was computed for."""
    numbers = {number for size in sizes for number in size.ratio.raw.break_even_acceptance}
    return tuple(sorted(numbers, key=int))


def _says(ratio: Located[SizeRatio], verdict: Located[Verdict] | None, tell: Teller) -> str:
    if verdict is None:
        return ""
    follows = "met" if ratio.raw.parameters >= RULE_OF_THUMB else "missed"
    pays = "fails" if verdict.raw.answer == DO_NOT_USE else "pays"
    return tell.say(
        f"size.rule-{follows}-{pays}",
        draft=tell.name(ratio.draft),
        parameters=tell.measure(ratio.parameters, ROUGH_TIMES),
        steps=tell.number(ratio.step_seconds, ROUGH_TIMES),
        acceptance=tell.measure(verdict.acceptance, ROUGH_SHARE),
    )
