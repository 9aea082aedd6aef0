"""The seam where sampling parameters become the function that chooses ids."""

from collections.abc import Sequence

import numpy as np

from paceline.engine.work import Logits, RowChoice, TokenIds
from paceline.sampling.candidates import Candidates
from paceline.sampling.choice import choose
from paceline.sampling.logprobs import TokenLogprobs, token_logprobs
from paceline.sampling.noise import Noise, Stream
from paceline.sampling.parameters import SamplingParameters
from paceline.sampling.processing import LogitsProcessor, MaskRows, Row
from paceline.sampling.truncation import truncate


class RowSelector:
    """Chooses the ids of one work's rows, with noise that depends on seed, position and token id alone.

    A work needs a selector of its own, which sees its rows in the order of their positions.

    Attributes:
        logprobs: Of every id chosen so far, where they are wanted.
    """

    # Whether ids come from the row's own distribution by the noise of Stream.TOKEN; a subclass may have other ways.
    _draws_plainly = True

    def __init__(self, parameters: SamplingParameters, mask: MaskRows | None = None) -> None:
        self.logprobs: list[TokenLogprobs] = []
        self._parameters = parameters
        self._processor = LogitsProcessor(parameters, mask)
        self._noise = Noise(parameters.seed, Stream.TOKEN)

    @property
    def is_greedy_and_idle(self) -> bool:
        """Whether the highest logit is chosen as the model gave it."""
        return self._parameters.temperature == 0.0 and self._processor.is_idle

    def row_choices(self, positions: Sequence[int]) -> list[RowChoice] | None:
        """Return how the ids at these positions are chosen; None where more than their logits is looked at."""
        wanted = self._parameters
        is_plain = wanted.temperature == 0.0 or self._draws_plainly
        if not (is_plain and self._processor.is_idle and wanted.num_logprobs is None):
            return None
        return [
            RowChoice(position, wanted.seed, wanted.temperature, wanted.top_k, wanted.top_p, wanted.min_p)
            for position in positions
        ]

    def __call__(self, logits: Logits, positions: TokenIds, token_ids: Sequence[int]) -> TokenIds:
        """Return the chosen ids [num_rows]; row i chooses what follows `token_ids[:positions[i]]`."""
        if self.is_greedy_and_idle:
            chosen_ids = logits.argmax(axis=1)
        else:
            rows = zip(logits, positions.tolist(), strict=True)
            chosen_ids = np.array([self._choose(row, at, token_ids) for row, at in rows], np.int64)
        num_alternatives = self._parameters.num_logprobs
        if num_alternatives is not None:
            chosen = zip(logits, chosen_ids.tolist(), strict=True)
            self.logprobs += [token_logprobs(row, token_id, num_alternatives) for row, token_id in chosen]
        return chosen_ids

    def _choose(self, logits: Row, position: int, token_ids: Sequence[int]) -> int:
        row = self._processor.process(logits, position, token_ids)
        if self._parameters.temperature == 0.0:
            return self._choose_greedily(row, position)
        return self._choose_from(self._candidates(row), position, len(row))

    def _choose_greedily(self, row: Row, position: int) -> int:
        return int(row.argmax())

    def _choose_from(self, candidates: Candidates, position: int, vocabulary_size: int) -> int:
        chosen = choose(candidates, self._noise.at(position, vocabulary_size))
        assert chosen is not None, "a row has a highest logit"
        return chosen.token_id

    def _candidates(self, row: Row) -> Candidates:
        """Return what a processed row leaves to choose from; the temperature is above 0."""
        return truncate(Candidates.of_row(row, self._parameters.temperature), self._parameters)


def selector_for(parameters: SamplingParameters, mask: MaskRows | None = None) -> RowSelector:
    """Return what chooses the ids of one work.

    `mask` says which ids a structure allows at a row; what happens where it allows none is told by
    `LogitsProcessor.process`. Plain greedy decoding is one argmax.
    """
    return RowSelector(parameters, mask)
