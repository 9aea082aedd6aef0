"""Which replica a session is bound to: a decision, plain data in and plain data out."""

from collections.abc import Sequence
from typing import NamedTuple

# What a cached prefix saves is lost again where the session waits behind too many others.
_MOST_TIMES_THE_LEAST = 1.5
_MOST_ABOVE_THE_LEAST = 2


class ReplicaCandidate(NamedTuple):
    """A replica that could be chosen."""

    address: str
    num_sessions: int  # of this orchestrator, bound to it now
    num_available_blocks: int | None = None  # None where it is not known
    num_prefix_ids: int = 0  # ids of the session's beginning that it computed lately
    is_preferred: bool = False  # it served the session before, or the one that this session begins as


def best_replica(candidates: Sequence[ReplicaCandidate]) -> ReplicaCandidate | None:
    """Return where a session had better go; None where there is no candidate.

    That is the preferred one, else the one that holds the longest prefix, unless it has no room or clearly more
    sessions than the least loaded; else the one with the fewest sessions. The first of equals.
    Example: 2 sessions on the least loaded allow up to 2 x 1.5 + 2 = 5 on one that holds the prefix.
    """
    if not candidates:
        return None
    num_least = min(one.num_sessions for one in candidates)
    most = _MOST_TIMES_THE_LEAST * num_least + _MOST_ABOVE_THE_LEAST
    warm = [one for one in candidates if _is_warm(one) and _has_room(one) and one.num_sessions <= most]
    if warm:
        return max(warm, key=lambda one: (one.is_preferred, one.num_prefix_ids, -one.num_sessions))
    return min(candidates, key=lambda one: (not _has_room(one), one.num_sessions))


def _is_warm(candidate: ReplicaCandidate) -> bool:
    return candidate.is_preferred or candidate.num_prefix_ids > 0


def _has_room(candidate: ReplicaCandidate) -> bool:
    return candidate.num_available_blocks != 0
