"""What a benchmark computes from what arrived."""

import pytest

from paceline.cli.benchmark.prompt_set import BenchPrompt
from paceline.cli.benchmark.result import VariantResult, results_of
from paceline.cli.benchmark.trial import TARGET_ONLY, PlannedTrial, Trial, Variant
from paceline.client.completion import Arrival, Completion
from paceline.client.generation import (
    FinishReason,
    GeneratedToken,
    GenerationStarted,
    GenerationSummary,
    GenerationTiming,
    SpeculationSummary,
    TokenOrigin,
    Usage,
)

QUICKSORT = BenchPrompt("code", "quicksort", "Write quicksort.")
TIDES = BenchPrompt("prose", "tides", "Why are there tides?")
DRAFTED = Variant(3)


def completion(
    ids: tuple[int, ...], seconds: float, num_drafted: int = 0, num_accepted: int = 0
) -> Completion:
    """One id at half a second, the rest `seconds` after the request; with drafts, two rounds of them."""
    return Completion(
        GenerationStarted("s", 1, "big", 0),
        tuple(GeneratedToken(token_id, "", TokenOrigin.TARGET) for token_id in ids),
        "",
        GenerationSummary(
            FinishReason.LENGTH,
            Usage(1, len(ids), 0),
            SpeculationSummary(
                2, num_drafted, num_accepted, (2,) if num_drafted else (), (num_accepted,), 0, {}
            ),
            GenerationTiming(0, 0, 0, 0, 0, 0, 0, 0),
        ),
        (Arrival(0.5, 1), Arrival(seconds, len(ids) - 1)),
    )


def trial(
    variant: Variant, *completions: Completion, repeat: int = 0, prompt: BenchPrompt = QUICKSORT
) -> Trial:
    return Trial(PlannedTrial(repeat, (prompt,) * len(completions), variant), completions)


def by_variant(trials: list[Trial]) -> dict[Variant, VariantResult]:
    return {result.variant: result for result in results_of(trials)}


def test_the_speed_up_is_that_of_the_same_prompt_in_the_same_repeat() -> None:
    results = by_variant(
        [
            trial(TARGET_ONLY, completion((1, 2, 3, 4), 4.0), repeat=0),
            trial(DRAFTED, completion((1, 2, 3, 4), 2.0), repeat=0),
            trial(DRAFTED, completion((1, 2, 3, 4), 1.0), repeat=1),
            trial(TARGET_ONLY, completion((1, 2, 3, 4), 4.0), repeat=1),
        ]
    )
    speed_up = results[DRAFTED].speed_up
    assert speed_up is not None
    assert (speed_up.median, speed_up.low, speed_up.high, speed_up.count) == (3.0, 2.0, 4.0, 2)
    rate = results[TARGET_ONLY].tokens_per_second
    assert rate is not None
    assert rate.median == 1.0
    assert results[TARGET_ONLY].speed_up is None


def test_sessions_at_once_count_together() -> None:
    pair = trial(TARGET_ONLY, completion((1, 2), 2.0), completion((1, 2, 3, 4), 3.0))
    assert pair.tokens_per_second == 2.0


def test_another_id_anywhere_is_counted_as_not_identical() -> None:
    results = by_variant(
        [
            trial(TARGET_ONLY, completion((1, 2, 3), 1.0)),
            trial(DRAFTED, completion((1, 2, 3), 1.0)),
            trial(DRAFTED, completion((1, 2, 9), 1.0), repeat=1),
        ]
    )
    assert (results[DRAFTED].num_identical, results[DRAFTED].num_completions) == (1, 2)
    assert not results[DRAFTED].is_identical
    assert results[DRAFTED].num_tokens_compared == 6
    assert results[TARGET_ONLY].is_identical


def test_a_target_alone_that_differs_from_itself_is_noticed() -> None:
    results = by_variant(
        [trial(TARGET_ONLY, completion((1, 2), 1.0)), trial(TARGET_ONLY, completion((1, 3), 1.0), repeat=1)]
    )
    assert not results[TARGET_ONLY].is_identical


def test_an_answer_that_is_too_short_is_not_identical() -> None:
    results = by_variant(
        [trial(TARGET_ONLY, completion((1, 2, 3), 1.0)), trial(DRAFTED, completion((1, 2), 1.0))]
    )
    assert not results[DRAFTED].is_identical


def test_acceptance_and_length_come_from_the_rounds_with_a_draft() -> None:
    results = by_variant(
        [
            trial(TARGET_ONLY, completion((1, 2, 3), 1.0)),
            trial(DRAFTED, completion((1, 2, 3), 1.0, num_drafted=6, num_accepted=3)),
        ]
    )
    assert results[DRAFTED].acceptance == 0.5
    assert results[DRAFTED].mean_accepted_length == 2.5
    assert results[TARGET_ONLY].acceptance is None
    assert results[TARGET_ONLY].mean_accepted_length is None


def test_kinds_of_prompts_are_told_apart() -> None:
    results = results_of(
        [
            trial(TARGET_ONLY, completion((1, 2), 1.0)),
            trial(TARGET_ONLY, completion((7, 8), 2.0), prompt=TIDES),
        ]
    )
    assert [(result.kind, result.num_completions) for result in results] == [("code", 1), ("prose", 1)]


def test_times_after_the_first_token_leave_the_prompt_out() -> None:
    one = completion((1, 2, 3), 1.5)
    assert one.decode_tokens_per_second == pytest.approx(2.0)
    assert one.token_seconds == pytest.approx((0.5, 0.5))
    assert one.time_to_first_token_seconds == 0.5
