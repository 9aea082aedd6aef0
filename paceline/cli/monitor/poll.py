"""Asking several orchestrators at once how they are."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from paceline.client.connection import PLAIN_TEXT, ConnectionSettings, handshake_failure
from paceline.client.errors import CallFailedError
from paceline.client.session_status import SessionStatus
from paceline.client.sessions import SessionInfo, Sessions, connect_to_sessions
from paceline.client.status import OrchestratorStatus, StatusClient, connect_to_status

_SHORTEST_PATIENCE_SECONDS = 1.0
_LONGEST_PATIENCE_SECONDS = 5.0
_MAX_SESSIONS = 100
# Listing reads every session that Redis keeps, so it is to take no more than this share of the time.
_LISTING_SHARE = 0.05
_PROBLEMS = {
    "UNAVAILABLE": "nobody answers there",
    "DEADLINE_EXCEEDED": "it does not answer in time",
    "UNIMPLEMENTED": "it tells no status: no orchestrator, or an older version",
}


@dataclass(frozen=True)
class OrchestratorAnswer:
    """What came of asking one orchestrator: its status, or why there is none."""

    address: str
    status: OrchestratorStatus | None
    problem: str = ""


@dataclass(frozen=True)
class SessionListing:
    """The running sessions of all orchestrators, and how many there are; `at` is when, on the monotonic clock."""

    at: float
    sessions: tuple[SessionInfo, ...]
    num_found: int


@dataclass(frozen=True)
class Poll:
    """What all orchestrators said at about the same time.

    Attributes:
        at: When, in seconds on the monotonic clock.
        time: When, in seconds since the epoch.
        answers: One for each address.
        listing: The latest listing of sessions; None before there was one.
    """

    at: float
    time: float
    answers: tuple[OrchestratorAnswer, ...]
    listing: SessionListing | None = None

    @property
    def statuses(self) -> list[OrchestratorStatus]:
        """The orchestrators that answered; one that has several of the addresses only once."""
        found = [one.status for one in self.answers if one.status is not None]
        return list({status.orchestrator: status for status in found}.values())


class Orchestrators:
    """Connections to several orchestrators; made by `connect_to_orchestrators`."""

    def __init__(self, clients: Sequence["_Client"], interval_seconds: float) -> None:
        self._clients = clients
        self._patience = min(max(interval_seconds, _SHORTEST_PATIENCE_SECONDS), _LONGEST_PATIENCE_SECONDS)
        self._listing: SessionListing | None = None
        self._list_again_at = 0.0

    async def poll(self) -> Poll:
        """Ask all of them; one that does not answer is not waited for any longer than the interval, or a second."""
        answers = await asyncio.gather(*(one.ask(self._patience) for one in self._clients))
        now = time.monotonic()
        if now >= self._list_again_at:
            await self._list_sessions(answers)
            self._list_again_at = now + (time.monotonic() - now) / _LISTING_SHARE
        return Poll(now, time.time(), tuple(answers), self._listing)

    async def _list_sessions(self, answers: Sequence[OrchestratorAnswer]) -> None:
        """Keep the listing that there is where nobody can make another one."""
        able = [
            client
            for client, answer in zip(self._clients, answers, strict=True)
            if answer.status is not None and answer.status.redis_seconds is not None
        ]
        listings = await asyncio.gather(*(one.list_sessions(self._patience) for one in able))
        found = [one for one in listings if one is not None]
        if found:
            # Those that share a Redis list the same sessions.
            sessions = {session.session_id: session for one in found for session in one.sessions}
            num_found = max(len(sessions), *(one.num_found for one in found))
            self._listing = SessionListing(time.monotonic(), tuple(sessions.values()), num_found)


@asynccontextmanager
async def connect_to_orchestrators(
    addresses: Sequence[str], interval_seconds: float, connection: ConnectionSettings = PLAIN_TEXT
) -> AsyncIterator[Orchestrators]:
    """Connect inside a `with`; an orchestrator that is not there is found whenever it comes."""
    async with AsyncExitStack() as stack:
        clients = [
            _Client(
                address,
                connection,
                await stack.enter_async_context(connect_to_status(address, connection)),
                await stack.enter_async_context(connect_to_sessions(address, connection)),
            )
            for address in addresses
        ]
        yield Orchestrators(clients, interval_seconds)


@dataclass(frozen=True)
class _Client:
    address: str
    connection: ConnectionSettings
    status: StatusClient
    sessions: Sessions

    async def ask(self, patience_seconds: float) -> OrchestratorAnswer:
        patience_ends_at = time.monotonic() + patience_seconds
        try:
            return OrchestratorAnswer(self.address, await self.status.get(patience_seconds))
        except CallFailedError as error:
            patience_seconds = patience_ends_at - time.monotonic()
            return OrchestratorAnswer(self.address, None, await self._problem(error, patience_seconds))

    async def _problem(self, error: CallFailedError, patience_seconds: float) -> str:
        failure = await handshake_failure(error, self.connection, patience_seconds)
        return _PROBLEMS.get(error.call_reason, error.message) if failure is None else failure.message

    async def list_sessions(self, patience_seconds: float) -> SessionListing | None:
        try:
            async with asyncio.timeout(patience_seconds):
                listing = await self.sessions.list(SessionStatus.RUNNING, _MAX_SESSIONS)
        except (CallFailedError, TimeoutError):
            return None
        return SessionListing(time.monotonic(), listing.sessions, listing.num_found)
