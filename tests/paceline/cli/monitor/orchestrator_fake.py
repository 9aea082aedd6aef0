"""An orchestrator that only tells how it is: ten tokens more at every look."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc.aio

from paceline.v1 import model_pb2
from paceline.v1 import session_service_pb2 as session_pb
from paceline.v1 import session_service_pb2_grpc as session_pb_grpc
from paceline.v1 import status_service_pb2 as pb
from paceline.v1 import status_service_pb2_grpc as pb_grpc

_LISTING_SECONDS = 0.02


class FakeOrchestrator(pb_grpc.StatusServiceServicer, session_pb_grpc.SessionServiceServicer):
    """Has one target, and lists the sessions of these ids; while `answers` is cleared it hangs."""

    def __init__(
        self, name: str = "orchestrator-0-1f", *session_ids: str, redis_seconds: float | None = 0.0004
    ) -> None:
        self.name = name
        self.session_ids = session_ids
        self.redis_seconds = redis_seconds
        self.num_looks = 0
        self.num_listings = 0
        self.answers = asyncio.Event()
        self.answers.set()

    async def GetStatus(self, request, context):  # noqa: N802, the contract's name
        await self.answers.wait()
        self.num_looks += 1
        target = pb.ReplicaStatus(
            address="node-0-3:7001",
            replica_id="target-0",
            state=pb.REPLICA_STATE_READY,
            num_sessions=1,
            model=model_pb2.ModelInfo(name="big", weights="int8", device="CPU"),
        )
        return pb.GetStatusResponse(
            orchestrator=self.name,
            version="0.1.0",
            uptime_seconds=100.0 + self.num_looks,
            num_running_sessions=1,
            redis_seconds=self.redis_seconds,
            totals=pb.OrchestratorTotals(
                num_generations=1,
                num_tokens_by_origin={"target": 10 * self.num_looks},
                num_rounds_by_drafter={"none": 10 * self.num_looks},
            ),
            targets=[pb.TargetStatus(replica=target)],
        )

    async def ListSessions(self, request, context):  # noqa: N802, the contract's name
        assert request.status == session_pb.SESSION_STATUS_RUNNING
        self.num_listings += 1
        await asyncio.sleep(_LISTING_SECONDS)
        sessions = [
            session_pb.SessionInfo(
                session_id=one,
                status=session_pb.SESSION_STATUS_RUNNING,
                position=40,
                num_prompt_tokens=30,
                lease_seconds=8.0,
            )
            for one in self.session_ids
        ]
        return session_pb.ListSessionsResponse(sessions=sessions, num_found=len(sessions))

    async def GetSession(self, request, context):  # noqa: N802, the contract's name
        raise NotImplementedError

    async def CancelSession(self, request, context):  # noqa: N802, the contract's name
        raise NotImplementedError


@asynccontextmanager
async def serving(fake: FakeOrchestrator, address: str = "127.0.0.1:0") -> AsyncIterator[str]:
    """Serve it and yield its address."""
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    pb_grpc.add_StatusServiceServicer_to_server(fake, server)
    session_pb_grpc.add_SessionServiceServicer_to_server(fake, server)
    port = server.add_insecure_port(address)
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(None)
