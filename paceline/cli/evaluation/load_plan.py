"""Which trials measure throughput under load, and in which order."""

from collections.abc import Iterator, Sequence

from paceline.cli.benchmark.prompt_set import BenchPrompt
from paceline.cli.benchmark.trial import PlannedTrial, Variant

# So many answers are measured in a repeat, if there are as many prompts and they are not all at once.
NUM_ANSWERS = 2


def plan_load(
    prompts: Sequence[BenchPrompt], variants: Sequence[Variant], num_sessions: int, num_repeats: int
) -> Iterator[PlannedTrial]:
    """Yield trials of so many sessions at once, all variants of the same prompts side by side in time.

    The prompts are of mixed kinds, as load is, and are gone round again where there are too few. Each group of them
    starts with another variant. Example: prompts a b and 1 session give the groups a and b, 3 sessions aba.
    """
    turn, num_groups = 0, max(1, min(NUM_ANSWERS, len(prompts) + num_sessions - 1) // num_sessions)
    for repeat in range(num_repeats):
        for number in range(num_groups):
            places = range(number * num_sessions, (number + 1) * num_sessions)
            group = tuple(prompts[place % len(prompts)] for place in places)
            first = turn % len(variants)
            for variant in [*variants[first:], *variants[:first]]:
                yield PlannedTrial(repeat, group, variant)
            turn += 1
