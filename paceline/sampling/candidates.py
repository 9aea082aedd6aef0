"""The tokens that may follow, with their weights."""

import functools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Indices = npt.NDArray[np.int64]  # into the arrays of the candidates
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Candidates:
    """A distribution over tokens: softmax of (logit - reference) / temperature over the candidates.

    The logits stay as the model gave them, one float32 each, and a weight is computed in float64 where it is looked at:
    most of a vocabulary is so unlikely that nobody has to.

    Attributes:
        logits: Processed logits [num_candidates]; -inf is no candidate.
        token_ids: Their ids, ascending; all ids of the vocabulary from 0 on where it is None.
        temperature: Above 0.
        reference: The logit whose log-weight is 0: the highest of the row.
    """

    logits: npt.NDArray[np.float32]
    token_ids: npt.NDArray[np.int64] | None
    temperature: float
    reference: float

    @classmethod
    def of_row(cls, logits: npt.NDArray[np.float32], temperature: float) -> "Candidates":
        """Return all tokens of a row of processed logits [vocab_size]."""
        return cls(logits, None, temperature, float(logits.max()))

    def __len__(self) -> int:
        return len(self.logits)

    @property
    def ids(self) -> npt.NDArray[np.int64]:
        """Ids with a weight above 0, ascending."""
        return self.ids_at(np.flatnonzero(self.logits > -np.inf))

    @property
    def probs(self) -> Floats:
        """The probabilities of `ids`."""
        return np.exp(self.log_weights_at(np.flatnonzero(self.logits > -np.inf))) / self.total

    @functools.cached_property
    def total(self) -> float:
        """The sum of all weights, the exponentials of the log-weights."""
        log_weights = self._log_weights(self.logits)
        return float(np.exp(log_weights, out=log_weights).sum())

    @functools.cached_property
    def top(self) -> float:
        """The highest log-weight: 0, unless the likeliest tokens were taken out; -inf where nothing is left."""
        if not len(self.logits):
            return -np.inf
        return float(self._log_weights(self.logits.max(keepdims=True))[0])

    def ids_at(self, indices: Indices) -> npt.NDArray[np.int64]:
        """Return the ids of some candidates."""
        return indices if self.token_ids is None else self.token_ids[indices]

    def log_weights_at(self, indices: Indices) -> Floats:
        """Return the log-weights of some candidates."""
        return self._log_weights(self.logits[indices])

    def at_least(self, log_weight: float) -> Indices:
        """Return which candidates have at least this log-weight, ascending."""
        found = np.flatnonzero(self.may_reach(log_weight))
        return found[self.log_weights_at(found) >= log_weight]

    def may_reach(self, log_weight: float) -> npt.NDArray[np.bool_]:
        """Return for each candidate whether it may have this log-weight: all that do, and few others.

        It is a comparison of float32 logits, with a margin for their rounding.
        """
        gap = log_weight * self.temperature
        return self.logits >= np.float32(self.reference + gap - 1e-6 * (1 + abs(self.reference) + abs(gap)))

    def subset(self, indices: Indices) -> "Candidates":
        """Return some of the candidates; `indices` ascend."""
        return Candidates(self.logits[indices], self.ids_at(indices), self.temperature, self.reference)

    def probs_of(self, token_ids: npt.NDArray[np.int64]) -> Floats:
        """Return the probabilities of some tokens, 0 for those that are no candidates."""
        indices, is_candidate = self._locate(token_ids)
        return np.where(is_candidate, np.exp(self.log_weights_at(indices)), 0.0) / self.total

    def without(self, token_ids: npt.NDArray[np.int64]) -> "Candidates":
        """Return the candidates but for some tokens, with the same log-weights."""
        indices, is_candidate = self._locate(token_ids)
        logits = self.logits.copy()
        logits[indices[is_candidate]] = -np.inf
        return Candidates(logits, self.token_ids, self.temperature, self.reference)

    def _locate(self, token_ids: npt.NDArray[np.int64]) -> tuple[Indices, npt.NDArray[np.bool_]]:
        if self.token_ids is None:
            return token_ids, np.ones(len(token_ids), np.bool_)
        indices = np.searchsorted(self.token_ids, token_ids).clip(max=len(self.token_ids) - 1)
        return indices, self.token_ids[indices] == token_ids

    def _log_weights(self, logits: npt.NDArray[np.float32]) -> Floats:
        log_weights = logits.astype(np.float64)
        log_weights -= self.reference
        if self.temperature != 1.0:
            with np.errstate(over="ignore"):  # a tiny temperature makes all but the likeliest impossible
                log_weights /= self.temperature
        return log_weights
