"""Leases of the sessions that this process serves, renewed while their rounds take long."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import structlog

from orchestrator.errors import SessionStoreUnavailableError
from orchestrator.session import Session
from paceline.errors import PacelineError

# Renewals in a lease's time, so that one that fails leaves time for others.
_RENEWALS_PER_LEASE = 3

_log = structlog.get_logger()


class LeaseStore(Protocol):
    """Where leases are."""

    async def renew_all(self, sessions: Sequence[tuple[str, int]]) -> Mapping[str, PacelineError]:
        """Renew the leases of sessions at epochs and return why those are not ours that somebody else has now."""
        ...


@dataclass(frozen=True)
class _Held:
    session: Session
    lose: Callable[[PacelineError], None]


class LeaseKeeper:
    """Renews, until cancelled, the leases of all sessions that are held; one that is lost is told so at once."""

    def __init__(
        self, store: LeaseStore, lease_seconds: float, note_lost: Callable[[], None] = lambda: None
    ) -> None:
        self._store = store
        self._note_lost = note_lost
        self._pause_seconds = lease_seconds / _RENEWALS_PER_LEASE
        self._held: dict[str, _Held] = {}

    @contextmanager
    def holding(self, session: Session, lose: Callable[[PacelineError], None]) -> Iterator[None]:
        """Keep a session's lease for as long as the block runs; `lose` gets the error where it is lost."""
        held = self._held[session.session_id] = _Held(session, lose)
        try:
            yield
        finally:
            if self._held.get(session.session_id) is held:
                del self._held[session.session_id]

    async def run(self) -> None:
        """Renew until cancelled. A store that does not answer loses nothing: the epoch protects the session."""
        while True:
            await asyncio.sleep(self._pause_seconds)
            held = dict(self._held)
            if not held:
                continue
            epochs = {session_id: one.session.epoch for session_id, one in held.items()}
            try:
                lost = await self._store.renew_all(list(epochs.items()))
            except SessionStoreUnavailableError as error:
                _log.warning("leases_not_renewed", num_sessions=len(held), message=error.message)
                continue
            for session_id, error in lost.items():
                self._lose(held[session_id], epochs[session_id], error)

    def _lose(self, held: _Held, epoch: int, error: PacelineError) -> None:
        session = held.session
        is_same = self._held.get(session.session_id) is held and session.epoch == epoch
        if is_same and not session.is_moving:  # else it has ended, or has a new epoch of our own
            _log.warning("lease_lost", session_id=session.session_id, epoch=epoch, reason=error.reason)
            self._note_lost()
            held.lose(error)
