"""What one tenant uses at this orchestrator: what the store has still to be told, and what counts without it."""

from collections import Counter
from collections.abc import Sequence

from orchestrator.quota_store import Usage, UsedUp
from orchestrator.sliding_minute import SlidingMinute
from orchestrator.tenant import Quotas


class QuotaAccount:
    """The books of one tenant. Times are in seconds on a clock that does not go back."""

    def __init__(self) -> None:
        self._requests = SlidingMinute()
        self._tokens = SlidingMinute()
        # What was used while Redis was gone for an hour is not all held against the minute in which it is back.
        self._untold_requests = SlidingMinute()
        self._untold_tokens = SlidingMinute()
        self._ended: set[str] = set()
        self._sessions: Counter[str] = Counter()  # a session that is resumed here may still be ending here

    @property
    def sessions(self) -> list[str]:
        """The sessions that run or wait here."""
        return list(self._sessions)

    @property
    def has_untold(self) -> bool:
        """Whether the store has to be told of something."""
        return bool(self._ended) or self._untold_requests.has_any or self._untold_tokens.has_any

    def add_request(self, now: float, *, is_told: bool) -> None:
        """Count a request that the store has counted, or has to be told of."""
        self._requests.add(now, 1)
        if not is_told:
            self._untold_requests.add(now, 1)

    def add_tokens(self, now: float, num_tokens: int) -> None:
        """Count tokens."""
        self._tokens.add(now, num_tokens)
        self._untold_tokens.add(now, num_tokens)

    def begin(self, session_ids: Sequence[str]) -> None:
        """Count sessions."""
        self._sessions.update(session_ids)
        self._ended.difference_update(session_ids)

    def end(self, session_ids: Sequence[str]) -> None:
        """Count sessions no more."""
        self._sessions.subtract(session_ids)
        gone = {one for one in session_ids if self._sessions[one] <= 0}
        for session_id in gone:
            del self._sessions[session_id]
        self._ended |= gone

    def take_untold(self, now: float) -> Usage:
        """Return what the store has to be told; it counts as told then, unless it is put back."""
        usage = Usage(
            self._untold_requests.total(now), self._untold_tokens.total(now), tuple(sorted(self._ended))
        )
        self._untold_requests.clear()
        self._untold_tokens.clear()
        self._ended.clear()
        return usage

    def put_back(self, now: float, usage: Usage) -> None:
        """Note that the store could not be told."""
        self._untold_requests.add(now, usage.num_requests)
        self._untold_tokens.add(now, usage.num_tokens)
        self._ended.update(one for one in usage.ended_sessions if one not in self._sessions)

    def used_up(self, now: float, quotas: Quotas, session_ids: Sequence[str]) -> UsedUp | None:
        """Return the quota that refuses a request if only this orchestrator's counts; None where none does."""
        for quota, minute, limit in (
            ("requests_per_minute", self._requests, quotas.requests_per_minute),
            ("tokens_per_minute", self._tokens, quotas.tokens_per_minute),
        ):
            wait_seconds = minute.wait_seconds(now, limit) if limit is not None else 0.0
            if wait_seconds > 0:
                return UsedUp(quota, wait_seconds)
        num_sessions = len(self._sessions.keys() | set(session_ids))
        has_new = not self._sessions.keys() >= set(session_ids)
        if quotas.max_sessions is not None and has_new and num_sessions > quotas.max_sessions:
            return UsedUp("max_sessions", 0.0)
        return None
