"""Sessions as operators see them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from paceline.client.connection import PLAIN_TEXT, Connection, ConnectionSettings, connected
from paceline.client.session_status import MESSAGE_OF_STATUS, STATUS_OF_MESSAGE, SessionStatus
from paceline.v1 import session_service_pb2 as pb
from paceline.v1 import session_service_pb2_grpc as pb_grpc


@dataclass(frozen=True)
class SessionInfo:
    """One session; see `paceline.v1.SessionInfo`.

    `draft` is empty where the target decodes alone, `tenant` where tenants are not told apart.
    """

    session_id: str
    status: SessionStatus
    model: str
    epoch: int
    position: int
    num_prompt_tokens: int
    target: str
    draft: str
    orchestrator: str
    lease_seconds: float | None
    idle_seconds: float
    ttl_seconds: float
    digest: str
    sampling_json: str
    tenant: str = ""


@dataclass(frozen=True)
class SessionList:
    """The sessions that were asked for, and how many there are in all."""

    sessions: tuple[SessionInfo, ...]
    num_found: int


class Sessions:
    """The sessions behind one orchestrator; made by `connect_to_sessions`. Every method raises CallFailedError."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def list(self, status: SessionStatus | None = None, max_sessions: int | None = None) -> SessionList:
        """Return sessions, the latest change first."""
        message = MESSAGE_OF_STATUS[status] if status is not None else pb.SESSION_STATUS_UNSPECIFIED
        request = pb.ListSessionsRequest(status=message, max_sessions=max_sessions)
        response = await self._connection.ask(self._stub.ListSessions, request)
        return SessionList(tuple(map(_session, response.sessions)), response.num_found)

    async def get(self, session_id: str) -> SessionInfo:
        """Return one session."""
        request = pb.GetSessionRequest(session_id=session_id)
        return _session((await self._connection.ask(self._stub.GetSession, request)).session)

    async def cancel(self, session_id: str) -> SessionInfo:
        """End a session, whoever owns it, and return it as it is then."""
        request = pb.CancelSessionRequest(session_id=session_id)
        return _session((await self._connection.ask(self._stub.CancelSession, request)).session)

    @property
    def _stub(self) -> "pb_grpc.SessionServiceAsyncStub":
        return self._connection.stub(pb_grpc.SessionServiceStub)


@asynccontextmanager
async def connect_to_sessions(
    address: str, settings: ConnectionSettings = PLAIN_TEXT
) -> AsyncIterator[Sessions]:
    """Connect to the orchestrator at HOST:PORT inside a `with`; the first call finds out if it is there.

    Raises ConfigError over the settings.
    """
    async with connected(address, settings) as connection:
        yield Sessions(connection)


def _session(message: pb.SessionInfo) -> SessionInfo:
    return SessionInfo(
        message.session_id,
        STATUS_OF_MESSAGE[message.status],
        message.model,
        message.epoch,
        message.position,
        message.num_prompt_tokens,
        message.target.replica_id,
        message.draft.replica_id,
        message.orchestrator,
        message.lease_seconds if message.HasField("lease_seconds") else None,
        message.idle_seconds,
        message.ttl_seconds,
        message.digest,
        message.sampling_json,
        message.tenant,
    )
