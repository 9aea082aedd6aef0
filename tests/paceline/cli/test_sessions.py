"""`paceline sessions` against an orchestrator's service that answers from a list."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import grpc.aio
import pytest

from paceline.v1 import session_service_pb2 as pb
from paceline.v1 import session_service_pb2_grpc as pb_grpc
from tests.paceline.cli.command import run

SESSION = pb.SessionInfo(
    session_id="0b" * 16,
    status=pb.SESSION_STATUS_RUNNING,
    model="big",
    epoch=3,
    position=50,
    num_prompt_tokens=30,
    target=pb.CacheOwner(replica_id="target-0", incarnation="a"),
    orchestrator="orchestrator-0-1f",
    lease_seconds=-2.0,
    idle_seconds=12.4,
    ttl_seconds=3587.6,
    digest="ff",
    tenant="ann",
    sampling_json='{"temperature": 0.5, "what follows": "' + "x" * 200 + '"}',
)


class FakeSessions(pb_grpc.SessionServiceServicer):
    async def ListSessions(self, request, context):  # noqa: N802, the contract's name
        return pb.ListSessionsResponse(sessions=[SESSION], num_found=7)

    async def GetSession(self, request, context):  # noqa: N802, the contract's name
        if request.session_id != SESSION.session_id:
            context.set_code(grpc.StatusCode.NOT_FOUND)
            context.set_details("there is no such session")
        return pb.GetSessionResponse(session=SESSION)

    async def CancelSession(self, request, context):  # noqa: N802, the contract's name
        cancelled = pb.SessionInfo()
        cancelled.CopyFrom(SESSION)
        cancelled.status = pb.SESSION_STATUS_CANCELLED
        cancelled.ClearField("lease_seconds")
        return pb.CancelSessionResponse(session=cancelled)


@asynccontextmanager
async def serving() -> AsyncIterator[str]:
    server = grpc.aio.server()
    pb_grpc.add_SessionServiceServicer_to_server(FakeSessions(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(None)


@pytest.fixture
async def address() -> AsyncIterator[str]:
    async with serving() as address:
        yield address


async def test_a_list_shows_whole_ids_and_how_many_more_there_are(tmp_path: Path, address: str) -> None:
    ended = await run(tmp_path, "sessions", "list", "--address", address)
    assert ended.exit_code == 0
    assert SESSION.session_id in ended.stdout
    assert "30 + 20" in ended.stdout
    assert "ann" in ended.stdout
    assert "run out" in ended.stdout
    assert "1 of 7" in ended.stdout


async def test_one_session_is_shown_whole(tmp_path: Path, address: str) -> None:
    ended = await run(tmp_path, "sessions", "show", SESSION.session_id, "--address", address)
    assert "x" * 200 in ended.stdout
    as_json = await run(tmp_path, "sessions", "show", SESSION.session_id, "--json", "--address", address)
    shown = json.loads(as_json.stdout)
    assert (shown["epoch"], shown["target"], shown["draft"], shown["lease_seconds"]) == (
        3,
        "target-0",
        "",
        -2.0,
    )


async def test_a_cancelled_session_is_shown_as_it_is_then(tmp_path: Path, address: str) -> None:
    ended = await run(tmp_path, "sessions", "cancel", SESSION.session_id, "--json", "--address", address)
    assert json.loads(ended.stdout)["status"] == "cancelled"


async def test_an_unknown_session_is_a_sentence_and_code_1(tmp_path: Path, address: str) -> None:
    ended = await run(tmp_path, "sessions", "show", "nobody", "--address", address)
    assert ended.exit_code == 1
    assert "no such session" in ended.stderr
    assert "Traceback" not in ended.stderr


async def test_without_a_cluster_it_says_how_to_start_one(tmp_path: Path) -> None:
    ended = await run(tmp_path, "sessions", "list")
    assert ended.exit_code == 1
    assert "paceline up" in ended.stderr
