from benchmarks.simulation.load import generation_of
from paceline.client.generation import (
    FinishReason,
    GenerationSummary,
    GenerationTiming,
    SpeculationSummary,
    Usage,
)


def summary(drafted, accepted):
    speculation = SpeculationSummary(12, sum(drafted), sum(accepted), drafted, accepted, 0, {})
    return GenerationSummary(
        FinishReason.LENGTH,
        Usage(9, 30, 0),
        speculation,
        GenerationTiming(0.1, 0.0, 3.0, 0.5, 1.0, 0.25, 0.125, 0.0),
    )


def test_draft_tokens_behind_a_refused_one_were_not_judged():
    generation = generation_of(summary((10, 10), (6, 3)))
    assert (generation.num_drafted_rounds, generation.num_judged_tokens) == (10, 16)
    assert generation.num_accepted_tokens == 9


def test_rounds_that_drafted_fewer_tokens_judge_fewer():
    assert generation_of(summary((10, 2), (6, 2))).num_judged_tokens == 12


def test_a_generation_without_drafts_has_judged_none():
    generation = generation_of(summary((), ()))
    assert (generation.num_drafted_rounds, generation.num_judged_tokens) == (0, 0)
    assert (generation.total_seconds, generation.verify_seconds, generation.num_prompt_tokens) == (
        3.0,
        1.0,
        9,
    )
