"""Where a round starts, and whether a replica can start it there."""

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from paceline.engine.errors import PositionMismatchError, TokenOutOfVocabularyError
from paceline.errors import InvalidRequestError
from paceline.rounds import DIGEST_BYTES
from paceline.sampling.parameters import SamplingParameters

MAX_SESSION_ID_BYTES = 64
MAX_ROUND_TOKENS = 64
MAX_AHEAD_GUESSES = 8
DEFAULT_AHEAD_GUESSES = 3


@dataclass(frozen=True)
class SessionPoint:
    """The wish "make your cache equal to these ids up to here, then go on".

    Attributes:
        session_id: The session, 1 to 64 bytes.
        epoch: Fencing epoch; one lower than the highest seen is refused.
        position: Number of ids before `committed_ids`.
        prefix_digest: `paceline.rounds.prefix_digest` of the ids before `position`.
        committed_ids: Ids from `position` on, at least one.
        sampling: How ids are chosen; as before where it is None.
        fork_of: A session whose cache to share where this one is not known; empty for none.
    """

    session_id: str
    epoch: int
    position: int
    prefix_digest: bytes
    committed_ids: tuple[int, ...]
    sampling: SamplingParameters | None = None
    fork_of: str = ""


class PrefixDigester:
    """Digests of one session's growing ids: each id is hashed once, for as long as the position does not fall."""

    def __init__(self) -> None:
        self._restart()

    def digest(self, ids: list[int], position: int) -> bytes:
        """Return the digest of `ids[:position]`; ids before the last position asked for must be unchanged."""
        if position < self._num_hashed:
            self._restart()
        new_ids = ids[self._num_hashed : position]
        self._state.update(struct.pack(f"<{len(new_ids)}I", *new_ids))  # they are few: faster than numpy
        self._num_hashed = position
        return self._state.digest()

    def _restart(self) -> None:
        self._state = hashlib.blake2b(digest_size=DIGEST_BYTES)
        self._num_hashed = 0


def check_point(point: SessionPoint, vocabulary_size: int) -> None:
    """Refuse what is wrong in itself: raises InvalidRequestError or TokenOutOfVocabularyError."""
    if not 1 <= len(point.session_id.encode()) <= MAX_SESSION_ID_BYTES:
        raise InvalidRequestError(
            f"session_id must have 1 to {MAX_SESSION_ID_BYTES} bytes", field="point.session_id"
        )
    if len(point.fork_of.encode()) > MAX_SESSION_ID_BYTES:
        raise InvalidRequestError(
            f"fork_of may have at most {MAX_SESSION_ID_BYTES} bytes", field="point.fork_of"
        )
    if not point.committed_ids:
        raise InvalidRequestError("committed_ids must hold at least one id", field="point.committed_ids")
    check_ids(point.committed_ids, vocabulary_size)


def check_ids(ids: Sequence[int], vocabulary_size: int) -> None:
    """Raise TokenOutOfVocabularyError for the highest id if it is not in the vocabulary."""
    highest = max(ids, default=0)
    if highest >= vocabulary_size:
        raise TokenOutOfVocabularyError(
            f"token id {highest} is not in the vocabulary of {vocabulary_size} ids; "
            "encode with the tokenizer of the served model",
            token_id=highest,
            vocabulary_size=vocabulary_size,
        )


def check_count(name: str, count: int) -> None:
    """Raise InvalidRequestError for a count of tokens above what one round may have."""
    if count > MAX_ROUND_TOKENS:
        raise InvalidRequestError(
            f"{name} is {count} and may be at most {MAX_ROUND_TOKENS}",
            field=name,
            value=count,
            maximum=MAX_ROUND_TOKENS,
        )


def check_prefix(point: SessionPoint, known_ids: list[int], digester: PrefixDigester) -> None:
    """Raise PositionMismatchError unless the known ids begin with those before the point's position.

    `known_position` tells how many ids are known, or 0 where the ones known are others.
    """
    if point.position > len(known_ids):
        raise position_mismatch(point, len(known_ids))
    if digester.digest(known_ids, point.position) != point.prefix_digest and point.position > 0:
        raise position_mismatch(point, 0)


def position_mismatch(point: SessionPoint, known_position: int) -> PositionMismatchError:
    """Return the error that asks for the round again from position 0."""
    return PositionMismatchError(
        f"the cache does not hold the session's {point.position} ids before this round; "
        "send it again from position 0 with all ids",
        position=point.position,
        known_position=known_position,
    )
