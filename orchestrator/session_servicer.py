"""SessionService on the wire: what operators ask about the sessions in Redis."""

import grpc.aio

from orchestrator.errors import SessionNotFoundError
from orchestrator.session_record import CacheOwner, SessionOverview
from orchestrator.session_store import SessionStore
from paceline.client.session_status import MESSAGE_OF_STATUS, STATUS_OF_MESSAGE, SessionStatus
from paceline.errors import InvalidRequestError
from paceline.serving.session_point import MAX_SESSION_ID_BYTES
from paceline.v1 import session_service_pb2 as messages
from paceline.v1 import session_service_pb2_grpc

DEFAULT_MAX_SESSIONS = 100
MAX_SESSIONS = 10_000


class SessionServicer(session_service_pb2_grpc.SessionServiceServicer):
    """Serves SessionService from a store."""

    def __init__(self, store: SessionStore) -> None:
        self._store = store

    async def ListSessions(
        self, request: messages.ListSessionsRequest, context: grpc.aio.ServicerContext
    ) -> messages.ListSessionsResponse:
        """List sessions, the latest change first."""
        max_sessions = request.max_sessions if request.HasField("max_sessions") else DEFAULT_MAX_SESSIONS
        if not 1 <= max_sessions <= MAX_SESSIONS:
            raise InvalidRequestError(
                f"max_sessions is {max_sessions} and must be from 1 to {MAX_SESSIONS}",
                field="max_sessions",
                value=max_sessions,
                minimum=1,
                maximum=MAX_SESSIONS,
            )
        listing = await self._store.list_sessions(_status_from(request.status), max_sessions)
        return messages.ListSessionsResponse(
            sessions=map(_session_message, listing.sessions), num_found=listing.num_found
        )

    async def GetSession(
        self, request: messages.GetSessionRequest, context: grpc.aio.ServicerContext
    ) -> messages.GetSessionResponse:
        """Describe one session."""
        _check_session_id(request.session_id)
        overview = await self._store.overview(request.session_id)
        return messages.GetSessionResponse(session=_found(request.session_id, overview))

    async def CancelSession(
        self, request: messages.CancelSessionRequest, context: grpc.aio.ServicerContext
    ) -> messages.CancelSessionResponse:
        """End a session, whoever owns it."""
        _check_session_id(request.session_id)
        overview = await self._store.cancel(request.session_id)
        return messages.CancelSessionResponse(session=_found(request.session_id, overview))


def _status_from(message: "messages.SessionStatus.ValueType") -> SessionStatus | None:
    if message == messages.SESSION_STATUS_UNSPECIFIED:
        return None
    if message not in STATUS_OF_MESSAGE:
        raise InvalidRequestError(
            f"status is {message}, which this version does not know", field="status", value=message
        )
    return STATUS_OF_MESSAGE[message]


def _check_session_id(session_id: str) -> None:
    if not 1 <= len(session_id.encode()) <= MAX_SESSION_ID_BYTES:
        raise InvalidRequestError(
            f"session_id must have 1 to {MAX_SESSION_ID_BYTES} bytes", field="session_id"
        )


def _found(session_id: str, overview: SessionOverview | None) -> messages.SessionInfo:
    if overview is None:
        raise SessionNotFoundError(session_id)
    return _session_message(overview)


def _session_message(session: SessionOverview) -> messages.SessionInfo:
    return messages.SessionInfo(
        session_id=session.session_id,
        status=MESSAGE_OF_STATUS[session.status],
        model=session.model,
        epoch=session.epoch,
        position=session.position,
        num_prompt_tokens=session.num_prompt_ids,
        target=_owner_message(session.owners.target),
        draft=_owner_message(session.owners.draft) if session.owners.draft is not None else None,
        orchestrator=session.orchestrator,
        lease_seconds=session.lease_seconds,
        idle_seconds=session.idle_seconds,
        ttl_seconds=session.ttl_seconds,
        digest=session.digest.hex(),
        sampling_json=session.sampling_json,
        tenant=session.tenant,
    )


def _owner_message(owner: CacheOwner) -> messages.CacheOwner:
    return messages.CacheOwner(replica_id=owner.replica_id, incarnation=owner.incarnation)
