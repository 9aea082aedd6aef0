"""The rounds of one stream whose answer has not come."""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

from orchestrator.replica_liveness import Owed
from orchestrator.rounds import RoundKey


class WaitingRound(NamedTuple):
    """One round and its future answer."""

    asked_at: float
    deadline_at: float | None
    answered: asyncio.Future[Any]


class WaitingRounds:
    """Rounds by their key, the oldest first.

    A session that comes back to a stream where an abandoned round of the same number is unanswered waits under the
    same key. A replica answers the older one, as superseded, before the newer, so answers go to the oldest.
    """

    def __init__(self) -> None:
        self._rounds: dict[RoundKey, deque[WaitingRound]] = {}

    def add(self, key: RoundKey, deadline_seconds: float | None) -> asyncio.Future[Any]:
        """Return the future answer of a round that is asked now."""
        now = time.monotonic()
        deadline_at = now + deadline_seconds if deadline_seconds is not None else None
        answered: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._rounds.setdefault(key, deque()).append(WaitingRound(now, deadline_at, answered))
        return answered

    def take(self, key: RoundKey) -> asyncio.Future[Any] | None:
        """Take out the oldest round of a key; None where nobody waits for it."""
        rounds = self._rounds.get(key)
        if rounds is None:
            return None
        oldest = rounds.popleft()
        if not rounds:
            del self._rounds[key]
        return oldest.answered

    def discard(self, key: RoundKey, answered: asyncio.Future[Any]) -> None:
        """Take out a round that will not be answered."""
        remaining = deque(one for one in self._rounds.pop(key, ()) if one.answered is not answered)
        if remaining:
            self._rounds[key] = remaining

    def heir(self, key: RoundKey, answered: asyncio.Future[Any]) -> asyncio.Future[Any]:
        """Return a future that takes the place of one that was cancelled; the old one where its answer has come."""
        rounds = self._rounds.get(key, deque())
        for place, one in enumerate(rounds):
            if one.answered is answered:
                heir: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
                rounds[place] = one._replace(answered=heir)
                return heir
        return answered

    def owed(self, watched_since: float) -> Owed | None:
        """Return what the replica owes; None where it is nothing."""
        rounds = [one for same_key in self._rounds.values() for one in same_key]
        if not rounds:
            return None
        oldest = min(one.asked_at for one in rounds)
        deadlines = [one.deadline_at for one in rounds if one.deadline_at is not None]
        return Owed(len(rounds), max(oldest, watched_since), min(deadlines, default=None))

    def fail_all(self, make_error: Callable[[], Exception]) -> None:
        """Have every round fail."""
        for same_key in self._rounds.values():
            for one in same_key:
                if not one.answered.done():
                    one.answered.set_exception(make_error())
        self._rounds.clear()
