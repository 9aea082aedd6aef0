"""Soft labels: the target's likeliest tokens at a position, with their probabilities."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from paceline.engine.work import Logits, Selector, TokenIds
from paceline.sampling.truncation import most_likely


class TopLabels(NamedTuple):
    """The likeliest ids of a row, the likeliest first, and their log-probabilities at temperature 1."""

    token_ids: npt.NDArray[np.int64]  # [num_labels]
    logprobs: npt.NDArray[np.float16]  # [num_labels]


def top_labels(logits: npt.NDArray[np.float32], num_labels: int) -> TopLabels:
    """Return the labels of a row of logits [vocab_size].

    Example: the logits log(6), log(3), log(1) have with two labels the ids 0, 1 and the log-probabilities of 0.6, 0.3.
    """
    token_ids = most_likely(logits, num_labels)
    shifted = logits - logits[token_ids[0]]
    log_total = np.log(np.exp(shifted).sum(dtype=np.float64))
    return TopLabels(token_ids, (shifted[token_ids] - log_total).astype(np.float16))


class LabelRecorder:
    """Chooses as another selector does, and keeps the labels of every row that it sees.

    Attributes:
        labels: Of the chosen ids, in order.
    """

    def __init__(self, choose: Selector, num_labels: int) -> None:
        self.labels: list[TopLabels] = []
        self._choose = choose
        self._num_labels = num_labels

    def __call__(self, logits: Logits, positions: TokenIds, token_ids: Sequence[int]) -> TokenIds:
        """Return the chosen ids [num_rows]."""
        self.labels += [top_labels(row, self._num_labels) for row in logits]
        return self._choose(logits, positions, token_ids)
