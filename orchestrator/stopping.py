"""Where a generation ends: a decision, plain data in and plain data out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from paceline.client.generation import FinishReason


@dataclass(frozen=True, slots=True)
class StopRules:
    """When to end. `eos_ids` is empty where end-of-generation ids are ignored; lengths count tokens."""

    num_prompt_tokens: int
    max_tokens: int
    max_context_tokens: int
    eos_ids: frozenset[int]

    def num_remaining(self, num_ids: int) -> int:
        """Return how many tokens may follow the `num_ids` that there are, the prompt's included."""
        return min(self.num_prompt_tokens + self.max_tokens, self.max_context_tokens) - num_ids

    @property
    def reason_at_the_limit(self) -> FinishReason:
        """Why a generation ends that has used up `num_remaining`."""
        fits = self.num_prompt_tokens + self.max_tokens <= self.max_context_tokens
        return FinishReason.LENGTH if fits else FinishReason.CONTEXT


class Ending(NamedTuple):
    """The ids of a verdict that count, and why they are the last, or None."""

    kept_ids: Sequence[int]
    finish_reason: FinishReason | None


def cut(ids: Sequence[int], num_ids: int, rules: StopRules) -> Ending:
    """Cut the ids of a verdict, which follow `num_ids` others, after the first that ends the generation.

    Example: ids [7, 2, 9] with eos_ids {2} -> [7, 2], STOP.
    """
    kept = ids[: rules.num_remaining(num_ids)]
    for index, token_id in enumerate(kept):
        if token_id in rules.eos_ids:
            return Ending(kept[: index + 1], FinishReason.STOP)
    is_full = rules.num_remaining(num_ids + len(kept)) == 0
    return Ending(kept, rules.reason_at_the_limit if is_full else None)
