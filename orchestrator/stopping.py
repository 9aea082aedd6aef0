"""Where a generation ends: a decision, plain data in and plain data out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from paceline.client.generation import FinishReason


@dataclass(frozen=True, slots=True)
class StopRules:
    """When to end. `stop_ids` are end-of-generation ids, unless they are ignored, and the caller's own."""

    num_prompt_tokens: int
    max_tokens: int
    max_context_tokens: int
    stop_ids: frozenset[int]

    def num_remaining(self, num_ids: int) -> int:
        """Return how many tokens may follow the `num_ids` that there are, the prompt's included."""
        return min(self.num_prompt_tokens + self.max_tokens, self.max_context_tokens) - num_ids

    @property
    def reason_at_the_limit(self) -> FinishReason:
        """Why a generation ends that has used up `num_remaining`."""
        fits = self.num_prompt_tokens + self.max_tokens <= self.max_context_tokens
        return FinishReason.LENGTH if fits else FinishReason.CONTEXT


class Finish(NamedTuple):
    """Why a generation ended, and which id or text ended it."""

    reason: FinishReason
    stop_id: int | None = None
    stop_text: str | None = None


class Ending(NamedTuple):
    """The ids of a verdict that count, and why they are the last, or None."""

    kept_ids: Sequence[int]
    finish: Finish | None


def cut(ids: Sequence[int], num_ids: int, rules: StopRules) -> Ending:
    """Cut the ids of a verdict, which follow `num_ids` others, after the first that ends the generation.

    Example: ids [7, 2, 9] with stop_ids {2} -> [7, 2], STOP by 2.
    """
    kept = ids[: rules.num_remaining(num_ids)]
    for index, token_id in enumerate(kept):
        if token_id in rules.stop_ids:
            return Ending(kept[: index + 1], Finish(FinishReason.STOP, stop_id=token_id))
    is_full = rules.num_remaining(num_ids + len(kept)) == 0
    return Ending(kept, Finish(rules.reason_at_the_limit) if is_full else None)
