"""What rounds of K draft tokens took, in seconds."""

from collections.abc import Sequence
from itertools import pairwise
from statistics import median

from paceline.cli.evaluation.findings import RoundCost
from paceline.cli.evaluation.measured_trial import MeasuredTrial, with_variant
from paceline.cli.evaluation.rounds import rounds_of
from paceline.cli.evaluation.speeds import variants_of
from paceline.client.generation import SpeculationMode


def round_costs_of(trials: Sequence[MeasuredTrial]) -> list[RoundCost]:
    """Return the median seconds of a round for each K, of trials with one draft and one session at a time."""
    return [
        _round_cost(with_variant(trials, variant), variant.num_draft_tokens)
        for variant in variants_of(trials)
        if variant.mode is SpeculationMode.FIXED
    ]


def _round_cost(trials: Sequence[MeasuredTrial], num_draft_tokens: int) -> RoundCost:
    pairs = [pair for trial in trials for answer in trial.answers for pair in pairwise(rounds_of(answer))]
    # A text's last rounds are shorter, and say nothing of K; where a draft was late it has none.
    seconds = [
        (before.is_full, after.seconds)
        for before, after in pairs
        if before.num_draft_tokens == after.num_draft_tokens == num_draft_tokens
    ]
    after_full = [one for is_full, one in seconds if is_full]
    after_partial = [one for is_full, one in seconds if not is_full]
    return RoundCost(
        trials[0].draft,
        num_draft_tokens,
        median(after_full) if after_full else None,
        median(after_partial) if after_partial else None,
        len(seconds),
    )
