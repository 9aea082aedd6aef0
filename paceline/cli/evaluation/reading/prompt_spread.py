"""A few prompts that stand for many."""

from collections.abc import Sequence
from itertools import chain

from paceline.cli.benchmark.prompt_set import BenchPrompt


def spread_prompts(prompts: Sequence[BenchPrompt], max_prompts: int) -> tuple[BenchPrompt, ...]:
    """Return some prompts, in turn one of each kind.

    Example: three of the kinds a a a b b are the first a, the first b and the second a.
    """
    kinds = dict.fromkeys(prompt.kind for prompt in prompts)
    columns = [[prompt for prompt in prompts if prompt.kind == kind] for kind in kinds]
    rows = [[column[turn] for column in columns if turn < len(column)] for turn in range(len(prompts))]
    return tuple(chain.from_iterable(rows))[:max_prompts]
