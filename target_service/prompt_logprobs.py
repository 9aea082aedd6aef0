"""What the model thinks of a prompt that is there already."""

from collections.abc import Sequence

import numpy as np

from paceline.engine.work import Logits, TokenIds
from paceline.sampling.logprobs import TokenLogprobs, token_logprobs
from paceline.sampling.parameters import SamplingParameters
from paceline.sampling.selector import RowSelector


class PromptLogprobs:
    """A selector whose rows before the output take the id that follows in the prompt; `selector` chooses the others.

    Attributes:
        logprobs: Of the prompt's ids so far, from the second on.
    """

    def __init__(self, selector: RowSelector, sampling: SamplingParameters) -> None:
        self.logprobs: list[TokenLogprobs] = []
        self._selector = selector
        self._num_prompt_tokens = sampling.num_prompt_tokens
        self._num_alternatives = sampling.num_logprobs or 0

    def __call__(self, logits: Logits, positions: TokenIds, token_ids: Sequence[int]) -> TokenIds:
        """Return the ids [num_rows] at `positions`."""
        num_known = int(np.count_nonzero(positions < self._num_prompt_tokens))
        known_ids = [token_ids[position] for position in positions[:num_known].tolist()]
        self.logprobs += [
            token_logprobs(row, token_id, self._num_alternatives)
            for row, token_id in zip(logits, known_ids, strict=False)
        ]
        if num_known == len(positions):
            return np.array(known_ids, np.int64)
        chosen = self._selector(logits[num_known:], positions[num_known:], token_ids)
        return np.concatenate([np.array(known_ids, np.int64), chosen])
