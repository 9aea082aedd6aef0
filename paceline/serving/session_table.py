"""All sessions of a replica: who may begin a round, and when a cache is freed."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

import structlog

from paceline.serving.errors import StaleEpochError, TooManySessionsError
from paceline.serving.session import Session
from paceline.serving.session_point import SessionPoint, position_mismatch

# Epochs of sessions whose cache is gone are remembered for as many, so that a straggler stays refused.
_MAX_REMEMBERED_EPOCHS = 1 << 16

S = TypeVar("S", bound=Session)

_log = structlog.get_logger()


@dataclass(frozen=True)
class SessionLimits:
    """How many sessions there may be, and for how long one may be idle."""

    max_sessions: int
    idle_seconds: float


class SessionTable(Generic[S]):
    """Sessions by id.

    `open_session` makes the session of an id at an epoch. A session ends when it is released, when it has been idle
    for too long, or when its first round failed; a closed stream does not end it, because its client may come back.
    """

    def __init__(self, open_session: Callable[[str, int], S], limits: SessionLimits) -> None:
        self._open_session = open_session
        self._limits = limits
        self._sessions: dict[str, S] = {}
        self._past_epochs: OrderedDict[str, int] = OrderedDict()

    def __len__(self) -> int:
        return len(self._sessions)

    def find(self, session_id: str) -> S | None:
        """Return a session if it is known."""
        return self._sessions.get(session_id)

    async def play(
        self, point: SessionPoint, key: Hashable, make_answer: Callable[[S], Awaitable[Any]]
    ) -> Any:
        """Return the answer of a round of the point's session; see `Session.play`."""
        session = self.admit(point)
        try:
            return await session.play(key, partial(make_answer, session))
        finally:
            self._drop_if_empty(session)

    def admit(self, point: SessionPoint) -> S:
        """Return the session of a point, opened if it starts at position 0, at the point's epoch.

        Raises StaleEpochError, PositionMismatchError or TooManySessionsError and changes nothing.
        """
        session = self._sessions.get(point.session_id)
        self._check_epoch(point, session)
        if session is None:
            session = self._open(point)
        session.epoch = point.epoch
        if point.sampling is not None:
            session.sampling = point.sampling
        return session

    def release(self, session_id: str, epoch: int) -> bool:
        """Free a session's cache and return True, unless it is not known or known under a higher epoch."""
        session = self._sessions.get(session_id)
        if session is None or session.epoch > epoch:
            return False
        self._close(session)
        return True

    def close(self) -> None:
        """Free all sessions."""
        for session in list(self._sessions.values()):
            self._close(session)

    async def expire_idle_sessions(self) -> None:
        """Free, until cancelled, the sessions that have been idle for too long."""
        while True:
            await asyncio.sleep(self._limits.idle_seconds / 4)
            oldest = time.monotonic() - self._limits.idle_seconds
            expired = [
                session
                for session in self._sessions.values()
                if not session.is_busy and session.last_used_seconds < oldest
            ]
            for session in expired:
                self._close(session)
            if expired:
                _log.info("sessions_expired", num_sessions=len(expired))

    def _check_epoch(self, point: SessionPoint, session: S | None) -> None:
        known_epoch = session.epoch if session is not None else self._past_epochs.get(point.session_id, 0)
        if point.epoch < known_epoch:
            raise StaleEpochError(
                f"epoch {point.epoch} of the session is over, it is at {known_epoch}; another owner has taken it",
                epoch=point.epoch,
                known_epoch=known_epoch,
            )

    def _drop_if_empty(self, session: S) -> None:
        """Free a session whose rounds have all failed."""
        is_known = self._sessions.get(session.session_id) is session
        if is_known and not session.is_busy and not session.sequence.token_ids:
            self._close(session)

    def _open(self, point: SessionPoint) -> S:
        if point.position > 0:
            raise position_mismatch(point, 0)
        if len(self._sessions) >= self._limits.max_sessions:
            raise TooManySessionsError(
                f"the replica holds {len(self._sessions)} sessions and may hold no more; use another one",
                max_sessions=self._limits.max_sessions,
            )
        session = self._open_session(point.session_id, point.epoch)
        self._sessions[point.session_id] = session
        self._past_epochs.pop(point.session_id, None)
        return session

    def _close(self, session: S) -> None:
        del self._sessions[session.session_id]
        self._past_epochs[session.session_id] = session.epoch
        if len(self._past_epochs) > _MAX_REMEMBERED_EPOCHS:
            self._past_epochs.popitem(last=False)
        session.close()
