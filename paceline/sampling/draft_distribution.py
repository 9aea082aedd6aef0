"""The distribution that a draft token was really sampled from: few tokens, integer weights, exact on the wire."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from paceline.errors import InvalidRequestError
from paceline.sampling.candidates import Candidates, Floats
from paceline.sampling.truncation import most_likely

# Not 65536, so that a single token's weight has 16 bits too; 65535 divides 2**32 - 1, so that a 32-bit word hits each
# unit of weight equally often but for one word.
TOTAL_WEIGHT = 65535
MAX_CANDIDATES = 128
_BYTES_PER_TOKEN = 6


@dataclass(frozen=True, eq=False)
class DraftDistribution:
    """Token i has the probability weights[i] / 65535.

    Encoded: all ids as unsigned 32-bit integers, ascending, then all weights as unsigned 16-bit integers, both
    little-endian: 6 bytes a token. Example: token 7 with 65534 and token 300 with 1 are
    `07000000 2c010000 feff 0100`.

    Attributes:
        ids: Ascending, uint32 [num_tokens], 1 to 128 of them.
        weights: Above 0, their sum is 65535, uint16 [num_tokens].
    """

    ids: npt.NDArray[np.uint32]
    weights: npt.NDArray[np.uint16]

    @classmethod
    def point(cls, token_id: int) -> Self:
        """Return the distribution of a draft that was certain, as prompt lookup is."""
        return cls(np.array([token_id], np.uint32), np.array([TOTAL_WEIGHT], np.uint16))

    @property
    def probs(self) -> Floats:
        """The probabilities of `ids`."""
        return self.weights / TOTAL_WEIGHT

    def prob_of(self, token_id: int) -> float:
        """Return the probability of a token, 0 where it is not among `ids`."""
        return float(self.probs[self.ids == token_id].sum())

    def sample(self, uniform: float) -> int:
        """Return the token on which a number between 0 and 1 falls."""
        unit = int(uniform * TOTAL_WEIGHT)
        return int(self.ids[np.searchsorted(np.cumsum(self.weights, dtype=np.int64), unit, side="right")])

    def encode(self) -> bytes:
        """Return the bytes for the wire."""
        return self.ids.astype("<u4").tobytes() + self.weights.astype("<u2").tobytes()

    @classmethod
    def decode(cls, encoded: bytes, draft_id: int, vocabulary_size: int, field: str) -> Self:
        """Return the distribution that a draft token came with.

        Raises InvalidRequestError, naming the field, where the bytes are malformed or could not have given the token.
        """
        num_tokens, remainder = divmod(len(encoded), _BYTES_PER_TOKEN)
        if remainder or not 1 <= num_tokens <= MAX_CANDIDATES:
            raise _malformed(
                field,
                f"has {len(encoded)} bytes, not 6 for each of 1 to {MAX_CANDIDATES} tokens",
                len(encoded),
            )
        ids = np.frombuffer(encoded, "<u4", num_tokens).astype(np.uint32)
        weights = np.frombuffer(encoded, "<u2", num_tokens, offset=4 * num_tokens).astype(np.uint16)
        if (ids[1:] <= ids[:-1]).any():
            raise _malformed(field, "has ids that do not ascend", ids.tolist())
        if ids[-1] >= vocabulary_size:
            raise _malformed(
                field, f"has an id outside the vocabulary of {vocabulary_size} ids", int(ids[-1])
            )
        if not weights.all():
            raise _malformed(field, "has a token of weight 0; leave such tokens out", weights.tolist())
        if (total := int(weights.sum(dtype=np.int64))) != TOTAL_WEIGHT:
            raise _malformed(field, f"has weights whose sum is not {TOTAL_WEIGHT}", total)
        if draft_id not in ids:
            raise _malformed(field, f"gives the draft token {draft_id} no weight", draft_id)
        return cls(ids, weights)


def quantise(candidates: Candidates, max_candidates: int = MAX_CANDIDATES) -> DraftDistribution:
    """Return the most likely tokens with integer weights, by largest remainders (of equals the lower id's).

    Tokens too unlikely for a weight of 1 are left out.
    """
    assert 1 <= max_candidates <= MAX_CANDIDATES
    kept = np.sort(most_likely(candidates.logits, max_candidates))
    shares = np.exp(candidates.log_weights_at(kept))
    shares *= TOTAL_WEIGHT / shares.sum()
    weights = np.floor(shares).astype(np.int64)
    missing = TOTAL_WEIGHT - int(weights.sum())
    weights[np.argsort(weights - shares, kind="stable")[:missing]] += 1
    is_likely = weights > 0
    ids = candidates.ids_at(kept[is_likely])
    return DraftDistribution(ids.astype(np.uint32), weights[is_likely].astype(np.uint16))


def _malformed(field: str, fault: str, value: object) -> InvalidRequestError:
    return InvalidRequestError(
        f"{field} {fault}; send what the draft service returned", field=field, value=value
    )
