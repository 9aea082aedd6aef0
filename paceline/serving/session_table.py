"""All sessions of a replica: who may begin a round, and when a cache is freed."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, NamedTuple, TypeVar

import structlog

from paceline.engine.sequence import Sequence
from paceline.errors import PacelineError
from paceline.serving.errors import StaleEpochError, SupersededError, TooManySessionsError
from paceline.serving.session import Session
from paceline.serving.session_point import SessionPoint, position_mismatch

# Epochs of sessions whose cache is gone are remembered for as many, so that a straggler stays refused.
_MAX_REMEMBERED_EPOCHS = 1 << 16

S = TypeVar("S", bound=Session)

_log = structlog.get_logger()


@dataclass(frozen=True)
class SessionLimits:
    """How many sessions there may be, and how long what nobody asks for is kept.

    Attributes:
        max_sessions: Most sessions at once.
        idle_seconds: After so long without a round a session is closed.
        protect_seconds: For so long after a round a session is not closed in favour of a new one.
        orphan_seconds: For so long a round goes on after all who waited for its answer have gone.
    """

    max_sessions: int
    idle_seconds: float
    protect_seconds: float = 1.0
    orphan_seconds: float = 1.0


class RoundKey(NamedTuple):
    """Which round it is: its number in the session, and what is asked. Equal wishes have equal answers."""

    number: int
    wish: Hashable


class SessionTable(Generic[S]):
    """Sessions by id.

    `open_session` makes the session of an id at an epoch, which shares a sequence where one is given. A session ends
    when it is released, when it has been idle for too long, when its place is needed and it has been idle for longest,
    or when its first round failed; a closed stream does not end it, because its client may come back.
    """

    def __init__(self, open_session: Callable[[str, int, Sequence | None], S], limits: SessionLimits) -> None:
        self._open_session = open_session
        self._limits = limits
        self._sessions: OrderedDict[str, S] = OrderedDict()  # in the order of their latest rounds
        self._past_epochs: OrderedDict[str, int] = OrderedDict()

    def __len__(self) -> int:
        return len(self._sessions)

    def find(self, session_id: str) -> S | None:
        """Return a session if it is known."""
        return self._sessions.get(session_id)

    async def play(
        self, point: SessionPoint, key: RoundKey, make_answer: Callable[[S], Awaitable[Any]]
    ) -> Any:
        """Return the answer of a round of the point's session; see `Session.play`.

        If all who wait for it are cancelled, the round is ended a little later, unless it is repeated before.
        """
        session = self.admit(point, key)
        try:
            return await session.play(key.wish, partial(make_answer, session))
        except asyncio.CancelledError:
            asyncio.get_running_loop().call_later(self._limits.orphan_seconds, self._end_orphan, session)
            raise
        finally:
            self._drop_if_empty(session)

    def admit(self, point: SessionPoint, key: RoundKey) -> S:
        """Return the session of a point, opened if it starts at position 0, at the point's epoch.

        Raises StaleEpochError, SupersededError, PositionMismatchError or TooManySessionsError and changes nothing.
        """
        session = self._sessions.get(point.session_id)
        self._check_epoch(point, session)
        if session is None:
            session = self._open(point)
        elif point.epoch == session.epoch:
            _check_number(session, key)
        session.round_number = (
            key.number if point.epoch > session.epoch else max(key.number, session.round_number)
        )
        session.epoch = point.epoch
        if point.sampling is not None:
            session.sampling = point.sampling
        self._sessions.move_to_end(point.session_id)
        return session

    def release(self, session_id: str, epoch: int) -> bool:
        """Free a session's cache and return True, unless it is not known or known under a higher epoch."""
        session = self._sessions.get(session_id)
        if session is None or session.epoch > epoch:
            return False
        self._close(session)
        return True

    def close(self, reason: PacelineError) -> None:
        """Free all sessions; rounds that run are answered with the reason."""
        for session in list(self._sessions.values()):
            self._close(session, reason)

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

    def _end_orphan(self, session: S) -> None:
        session.end_orphan()
        self._drop_if_empty(session)

    def _drop_if_empty(self, session: S) -> None:
        """Free a session whose rounds have all failed."""
        is_known = self._sessions.get(session.session_id) is session
        if is_known and not session.is_busy and not session.was_answered:
            self._close(session)

    def _open(self, point: SessionPoint) -> S:
        if point.position > 0:
            raise position_mismatch(point, 0)
        is_full = len(self._sessions) >= self._limits.max_sessions
        replaced = self._longest_idle() if is_full else None
        source = self._sessions.get(point.fork_of)
        session = self._open_session(point.session_id, point.epoch, source.sequence if source else None)
        if replaced is not None:  # only now, because it may be the source
            self._close(replaced)
        self._sessions[point.session_id] = session
        self._past_epochs.pop(point.session_id, None)
        return session

    def _longest_idle(self) -> S:
        """Return the session whose place another may take; raises TooManySessionsError where all are in use."""
        newest = time.monotonic() - self._limits.protect_seconds
        for session in self._sessions.values():
            if not session.is_busy and session.last_used_seconds <= newest:
                return session
        raise TooManySessionsError(
            f"the replica serves {len(self._sessions)} sessions and may serve no more; use another one",
            max_sessions=self._limits.max_sessions,
        )

    def _close(self, session: S, reason: PacelineError | None = None) -> None:
        del self._sessions[session.session_id]
        self._past_epochs[session.session_id] = session.epoch
        if len(self._past_epochs) > _MAX_REMEMBERED_EPOCHS:
            self._past_epochs.popitem(last=False)
        session.close(reason)


def _check_number(session: Session, key: RoundKey) -> None:
    """Refuse a late message: it would roll the cache back, or take the place of the round that came after it."""
    if key.number < session.round_number and not session.repeats(key.wish):
        raise SupersededError(
            f"round {key.number} of session {session.session_id} is over, it is at {session.round_number}",
            session_id=session.session_id,
            round=key.number,
            known_round=session.round_number,
        )
