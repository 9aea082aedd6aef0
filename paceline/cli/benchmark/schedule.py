"""In which order trials are made."""

from collections.abc import Iterator, Sequence

from paceline.cli.benchmark.prompt_set import BenchPrompt
from paceline.cli.benchmark.trial import PlannedTrial, Variant


def plan_trials(
    prompts: Sequence[BenchPrompt], variants: Sequence[Variant], num_repeats: int, num_sessions: int
) -> Iterator[PlannedTrial]:
    """Yield the trials, all variants of the same prompts side by side in time.

    Each round starts with another variant, so that no variant is always the first or the last: what the machine
    does meanwhile falls on all of them alike.
    Example: variants A B, one prompt p, three repeats: pA pB, pB pA, pA pB.
    """
    turn = 0
    for repeat in range(num_repeats):
        for group in groups_of(prompts, num_sessions):
            first = turn % len(variants)
            for variant in [*variants[first:], *variants[:first]]:
                yield PlannedTrial(repeat, group, variant)
            turn += 1


def groups_of(prompts: Sequence[BenchPrompt], num_sessions: int) -> list[tuple[BenchPrompt, ...]]:
    """Return the prompts of one kind after the other in groups of `num_sessions`, each starting at another one.

    A kind with fewer prompts than sessions is gone round again. Example: a b c for 2 sessions gives ab, bc, ca.
    """
    groups: list[tuple[BenchPrompt, ...]] = []
    for kind in dict.fromkeys(prompt.kind for prompt in prompts):
        same = [prompt for prompt in prompts if prompt.kind == kind]
        num = len(same)
        groups += [
            tuple(same[(start + offset) % num] for offset in range(num_sessions)) for start in range(num)
        ]
    return groups
