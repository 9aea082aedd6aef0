"""A text of the target, with what it thought of each token that it wrote."""

from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.integer]
# One prompt in so many is held out, with everything that was written about it.
_HELD_OUT_SHARE = 32


@dataclass(frozen=True, eq=False)
class Document:
    """One sequence of ids.

    Attributes:
        token_ids: Prompt and text [num_tokens].
        num_prompt_tokens: The ids from there on, at least one before them, were written by the target.
        label_ids: The target's likeliest ids at each written token [num_tokens - num_prompt_tokens, num_labels], the
            likeliest first.
        label_logprobs: Their log-probabilities at temperature 1, f16, of the same shape.
        temperature: At which the ids were drawn; 0 is greedy.
        is_question: The text is a question that the target wrote, not an answer.
        prompt_key: Equal for all that was written about the same prompt.
    """

    token_ids: IntArray
    num_prompt_tokens: int
    label_ids: IntArray
    label_logprobs: npt.NDArray[np.float16]
    temperature: float
    is_question: bool
    prompt_key: int

    @property
    def num_written(self) -> int:
        """How many ids the target wrote."""
        return len(self.token_ids) - self.num_prompt_tokens

    @property
    def is_held_out(self) -> bool:
        """Whether nobody may be trained on it; decided by the prompt alone, so that it never changes."""
        return self.prompt_key % _HELD_OUT_SHARE == 0


def prompt_key(prompt: str) -> int:
    """Return 64 bits that stand for a prompt."""
    return int.from_bytes(blake2b(prompt.encode(), digest_size=8).digest(), "little")
