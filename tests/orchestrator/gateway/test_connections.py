"""Connections that nobody can hold open for nothing, and names under which nobody may come."""

import pytest

from tests.orchestrator.gateway.gateway_rig import HttpRig, error_of, serving_http
from tests.orchestrator.gateway.raw_client import connected
from tests.orchestrator.gateway.scripted_core import ScriptedCore
from tests.orchestrator.rig import target, until
from tests.orchestrator.tenant_rig import counted

PATIENCE = 0.3
STREAM = {"messages": [{"role": "user", "content": "x"}], "stream": True}


@pytest.fixture
async def rig(redis):
    async with serving_http(
        redis.url, [target()], http_client_seconds=PATIENCE, http_max_connections=3
    ) as rig:
        yield rig


def num_dropped(rig: HttpRig, reason: str) -> float:
    return counted(rig.rig, "paceline.http.dropped_connections")[reason,]


@pytest.mark.parametrize(
    "beginning",
    [
        b"",
        b"POST /v1/comp",
        b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\n",
        b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\nGET /he",
        # Its answer does not need the body.
        b"POST /nothing HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n{",
    ],
)
async def test_a_request_that_does_not_come_is_not_waited_for(rig, beginning):
    async with connected(rig) as client:
        client.writer.write(beginning)
        await client.rest()
        assert num_dropped(rig, "SLOW_SENDER") == 1


async def test_a_body_that_does_not_come_is_answered_and_not_waited_for(rig):
    head = b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    async with connected(rig) as client:
        client.writer.write(head + b"Content-Length: 100\r\n\r\n{")
        assert "408" in await client.head()
        assert b"TOO_SLOW" in await client.rest()


async def test_a_reader_that_does_not_read_stops_its_generation_and_is_dropped(rig):
    pieces = ["x" * 8192] * 4096  # 32 MiB, and more as JSON
    with rig.writing(ScriptedCore(*pieces)) as core:
        async with connected(rig) as client:
            await client.send("/v1/chat/completions", STREAM)
            await client.head()
            await until(lambda: num_dropped(rig, "SLOW_READER") == 1)
            await until(lambda: core.num_closed == 1)
        assert 0 < core.num_written < 200  # about what the kernel keeps, and nothing after that


async def test_a_whole_answer_that_nobody_reads_does_not_keep_the_connection(rig):
    with rig.writing(ScriptedCore(*["x" * 8192] * 512)):
        async with connected(rig) as client:
            await client.send("/v1/chat/completions", {**STREAM, "stream": False})
            await client.head()
            await until(lambda: num_dropped(rig, "SLOW_READER") == 1)


async def test_more_connections_than_may_be_are_refused_and_many_more_are_cut(rig):
    async with connected(rig) as one, connected(rig) as two, connected(rig) as three:
        held = (one, two, three)
        await until(lambda: rig.server.num_connections == len(held))
        async with connected(rig) as surplus:
            await surplus.send("/v1/chat/completions", STREAM)
            assert "503" in await surplus.head()
            await surplus.rest()  # it is closed: over another connection, or elsewhere, there may be room
        async with connected(rig), connected(rig), connected(rig), connected(rig) as last:
            assert await last.rest() == b""
        assert num_dropped(rig, "TOO_MANY") == 1


async def test_heads_that_are_too_long_or_no_http_are_refused(rig):
    async with connected(rig) as client:
        client.writer.write(b"GET /health HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 40_000 + b"\r\n\r\n")
        assert {"431", "400"} & set((await client.head()).split())
    async with connected(rig) as client:
        client.writer.write(b"hello\r\n\r\n")
        assert "400" in await client.head()
        assert b'"code": "INVALID_REQUEST"' in await client.rest()


@pytest.mark.parametrize(
    ("host", "is_let_in"),
    [
        ("localhost", True),
        ("localhost:8000", True),
        ("127.0.0.1:80", True),
        ("[::1]:80", True),
        ("[::1]", True),
        ("evil.example", False),
        ("localhost.evil.example:80", False),
        ("", False),
    ],
)
async def test_without_keys_a_gateway_for_this_machine_answers_to_no_other_name(rig, host, is_let_in):
    answer = await rig.http.get("/v1/models", headers={"host": host})
    assert answer.is_success == is_let_in
    if not is_let_in:
        assert error_of(answer)[:3] == (421, "permission_error", "HOST_NOT_ALLOWED")


async def test_pages_of_other_origins_may_not_call_unless_they_are_named(redis, rig):
    headers = {"origin": "https://chat.example.com"}
    asking = {**headers, "access-control-request-method": "POST"}
    assert "access-control-allow-origin" not in (await rig.http.get("/v1/models", headers=headers)).headers
    assert (await rig.http.options("/v1/chat/completions", headers=asking)).status_code == 405
    async with serving_http(
        redis.url, [target()], http_cors_origins=("https://chat.example.com",)
    ) as open_rig:
        for origin, is_named in (("https://chat.example.com", True), ("https://evil.example", False)):
            answer = await open_rig.http.options("/v1/completions", headers={**asking, "origin": origin})
            assert answer.is_success == is_named
            answer = await open_rig.http.get("/v1/models", headers={"origin": origin})
            assert (answer.headers.get("access-control-allow-origin") == origin) == is_named
