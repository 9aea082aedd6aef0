"""Which replica a new session is bound to: a decision, plain data in and plain data out."""

from collections.abc import Sequence
from typing import NamedTuple


class ReplicaLoad(NamedTuple):
    """A replica that could be chosen."""

    address: str
    num_sessions: int  # of this orchestrator, bound to it now


def least_loaded(loads: Sequence[ReplicaLoad]) -> ReplicaLoad | None:
    """Return the replica with the fewest sessions, the first of equals; None where there is none."""
    return min(loads, key=lambda load: load.num_sessions, default=None)
