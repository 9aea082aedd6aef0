"""Where a generation begins."""

from dataclasses import dataclass
from typing import NamedTuple


class CommittedPoint(NamedTuple):
    """How far a session was when its record was read."""

    epoch: int
    position: int


@dataclass(frozen=True, slots=True)
class TakenSession:
    """A session that goes on under its own name, taken over from whoever owns it.

    Attributes:
        session_id: The session.
        expected: What its record must still say; it is read again where it does not.
        at_least_epoch: The epoch of the caller's rollback token: the new one is higher.
        num_kept: How many of its ids are kept.
    """

    session_id: str
    expected: CommittedPoint
    at_least_epoch: int
    num_kept: int


@dataclass(frozen=True, slots=True)
class Start:
    """Where a generation begins.

    Attributes:
        ids: The ids that there are: the prompt and what was generated before.
        position: Absolute position of the first token that is sent.
        taken: The session that goes on; None makes a new one.
        is_resumed: Whether the ids may have come to the generation's end already.
        fork_of: The session whose caches hold the beginning of a new one; empty where none does.
        target_replica_id: The target whose cache is likely to hold the ids; empty where none is known.
        draft_replica_id: The same of the draft.
        digest: Digest that the ids before `position` must have where the record holds fewer of them; generating them
            again must lead there. None where the record holds them all.
    """

    ids: tuple[int, ...]
    position: int
    taken: TakenSession | None = None
    is_resumed: bool = False
    fork_of: str = ""
    target_replica_id: str = ""
    draft_replica_id: str = ""
    digest: bytes | None = None
