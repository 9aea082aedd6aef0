"""The trials that are to be made with one draft, by the keys under which the journal keeps them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pydantic import TypeAdapter

from paceline.cli.benchmark.schedule import plan_trials
from paceline.cli.benchmark.trial import ADAPTIVE, TARGET_ONLY, PlannedTrial, Variant
from paceline.cli.evaluation.load_plan import plan_load
from paceline.cli.evaluation.measured_trial import MeasuredTrial
from paceline.cli.evaluation.piece_key import PieceKeys
from paceline.cli.evaluation.plan import EvaluationPlan
from paceline.cli.evaluation.section import Section

TRIAL = TypeAdapter(MeasuredTrial)


@dataclass(frozen=True)
class TrialPiece:
    """A trial that is to be made, or has been."""

    key: str
    planned: PlannedTrial
    max_tokens: int

    @property
    def name(self) -> str:
        """For people. Example: "code quicksort, K = 3", or "4 at once, adaptive"."""
        prompts = self.planned.prompts
        what = f"{prompts[0].kind} {prompts[0].name}" if len(prompts) == 1 else f"{len(prompts)} at once"
        return f"{what}, {self.planned.variant.name}"


def speed_pieces(plan: EvaluationPlan, keys: PieceKeys, draft: str) -> list[TrialPiece]:
    """Return the trials of one session each: target-only, each K and adaptive mode; none where speed is left out."""
    if Section.SPEED not in plan.sections:
        return []
    amount = plan.amount.speed
    variants = [TARGET_ONLY, *(Variant(number) for number in plan.num_draft_tokens), ADAPTIVE]
    planned = plan_trials(plan.speed_prompts, variants, amount.num_repeats, num_sessions=1)
    return list(_pieces(Section.SPEED, draft, planned, amount.max_tokens, keys))


def load_pieces(plan: EvaluationPlan, keys: PieceKeys, draft: str, num_draft_tokens: int) -> list[TrialPiece]:
    """Return the trials of several sessions: target-only, one K and adaptive mode; none where load is left out."""
    if Section.LOAD not in plan.sections:
        return []
    amount = plan.amount.load
    variants = [TARGET_ONLY, Variant(num_draft_tokens), ADAPTIVE]
    planned = [
        one
        for num_sessions in amount.sessions
        for one in plan_load(plan.load_prompts, variants, num_sessions, amount.num_repeats)
    ]
    return list(_pieces(Section.LOAD, draft, planned, amount.max_tokens, keys))


def _pieces(
    section: Section,
    draft: str,
    planned: Sequence[PlannedTrial] | Iterator[PlannedTrial],
    max_tokens: int,
    keys: PieceKeys,
) -> Iterator[TrialPiece]:
    for one in planned:
        yield TrialPiece(keys.trial(section, draft, one, max_tokens), one, max_tokens)
