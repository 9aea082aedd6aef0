"""What is done to a row of logits before anything is chosen: bias, penalties, and tokens that must not come yet."""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from paceline.sampling.parameters import SamplingParameters
from paceline.sampling.token_counts import TokenCounts

Row = npt.NDArray[np.float32]  # [vocab_size]

# (position of the id to be chosen, the ids before it) -> which ids may be chosen [vocab_size]; any where it is None
MaskRows = Callable[[int, Sequence[int]], npt.NDArray[np.bool_] | None]


class LogitsProcessor:
    """Processes the rows of one work, in float32 as transformers does, in the order of their positions.

    The context of a row is all ids before its position. It must grow from row to row: ids that were looked at once may
    not change, so that each token is counted once.
    """

    def __init__(self, parameters: SamplingParameters, mask: MaskRows | None = None) -> None:
        self._parameters = parameters
        self._mask = mask
        self._bias_ids = np.array([token_id for token_id, _ in parameters.logit_bias], np.int64)
        self._biases = np.array([bias for _, bias in parameters.logit_bias], np.float32)
        self._end_ids = np.array(parameters.end_ids, np.int64)
        self._repeats = parameters.repetition_penalty != 1.0
        self._counts_output = bool(parameters.presence_penalty or parameters.frequency_penalty)
        self._context, self._output = TokenCounts(), TokenCounts()
        self._num_counted = 0

    @property
    def is_idle(self) -> bool:
        """Whether every row comes out as it went in."""
        penalises = self._repeats or self._counts_output
        has_minimum = bool(self._parameters.min_tokens and len(self._end_ids))
        return not (len(self._bias_ids) or penalises or has_minimum or self._mask is not None)

    def process(self, logits: Row, position: int, token_ids: Sequence[int]) -> Row:
        """Return the processed logits of the id at `position`; the row that is given stays as it is.

        Where `min_tokens` and the mask leave nothing, the end ids may be chosen after all, for a structure that allows
        no more text has ended; where there are no end ids either, the row is not masked.
        """
        if self.is_idle:
            return logits
        row = logits.copy()
        row[self._bias_ids] += self._biases
        if self._repeats or self._counts_output:
            self._penalise(row, position, token_ids)
        return self._allow(row, position, token_ids)

    def _penalise(self, row: Row, position: int, token_ids: Sequence[int]) -> None:
        self._count(position, token_ids)
        parameters = self._parameters
        if self._repeats:
            seen = row[self._context.ids]
            penalty = parameters.repetition_penalty
            row[self._context.ids] = np.where(seen < 0, seen * penalty, seen / penalty)
        if self._counts_output:
            penalties = parameters.frequency_penalty * self._output.counts + parameters.presence_penalty
            row[self._output.ids] -= penalties.astype(np.float32)

    def _count(self, position: int, token_ids: Sequence[int]) -> None:
        assert position >= self._num_counted, "rows come in the order of their positions"
        if self._repeats:
            self._context.add(token_ids[self._num_counted : position])
        if self._counts_output:
            start = max(self._num_counted, self._parameters.num_prompt_tokens)
            self._output.add(token_ids[start:position])
        self._num_counted = position

    def _allow(self, row: Row, position: int, token_ids: Sequence[int]) -> Row:
        """Take away what may not be chosen; `row` may be written to."""
        allowed = self._mask(position, token_ids[:position]) if self._mask is not None else None
        is_too_early = position - self._parameters.num_prompt_tokens < self._parameters.min_tokens
        if allowed is None and not is_too_early:
            return row
        masked = row.copy() if allowed is None else np.where(allowed, row, np.float32(-np.inf))
        if is_too_early:
            masked[self._end_ids] = -np.inf
        if masked.max() == -np.inf and len(self._end_ids):
            masked[self._end_ids] = row[self._end_ids]
        return masked if masked.max() > -np.inf else row
