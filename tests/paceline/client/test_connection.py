"""How clients prove who they are: keys in the metadata of every call, and none in plain text over a network."""

from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from paceline.client.connection import ConnectionSettings, connected
from paceline.client.errors import CallFailedError
from paceline.client.generation import GenerationRequest, RawPrompt
from paceline.client.log_level import connect_to_logs
from paceline.client.orchestrator import connect
from paceline.client.resuming import connect_to_all
from paceline.client.sessions import connect_to_sessions
from paceline.client.status import connect_to_status
from paceline.errors import ConfigError
from paceline.security.certificates import OwnFiles
from tests.orchestrator.tcp_proxy import wire_to

KEY = "pl_abc"
WITH_KEY = ConnectionSettings(api_key=KEY)
REQUEST = GenerationRequest(RawPrompt("1 + 1 ="))


class Doorkeeper(grpc.GenericRpcHandler):
    """Notes the authorization of every call and answers none."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str | bytes | None]] = []

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> None:
        metadata = dict(handler_call_details.invocation_metadata or ())
        method = handler_call_details.method.rpartition("/")[2]  # pyright: ignore[reportAttributeAccessIssue]
        self.seen.append((method, metadata.get("authorization")))


@asynccontextmanager
async def watched() -> AsyncIterator[tuple[str, Doorkeeper]]:
    server, doorkeeper = grpc.aio.server(), Doorkeeper()
    server.add_generic_rpc_handlers((doorkeeper,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}", doorkeeper
    finally:
        await server.stop(None)


async def drained(client: Any) -> None:
    async with aclosing(client.generate(REQUEST)) as events:
        async for _ in events:
            pass


CALLS: list[tuple[str, Callable[..., Any], Callable[[Any], Any]]] = [
    ("Generate", connect, drained),
    ("Generate", lambda address, settings: connect_to_all([address], connection=settings), drained),
    ("GetModel", connect, lambda client: client.served_models()),
    ("ListSessions", connect_to_sessions, lambda client: client.list()),
    ("GetSession", connect_to_sessions, lambda client: client.get("s")),
    ("CancelSession", connect_to_sessions, lambda client: client.cancel("s")),
    ("GetStatus", connect_to_status, lambda client: client.get()),
    ("GetLogLevel", connect_to_logs, lambda client: client.level()),
]


@pytest.mark.parametrize(("method", "connect_to", "call"), CALLS)
async def test_every_call_carries_the_key(
    method: str, connect_to: Callable[..., Any], call: Callable[[Any], Any]
) -> None:
    async with watched() as (address, doorkeeper):
        for settings in (WITH_KEY, ConnectionSettings()):
            async with connect_to(address, settings) as client:
                with pytest.raises(CallFailedError, match="does not know the call"):
                    await call(client)
    assert doorkeeper.seen == [(method, f"Bearer {KEY}"), (method, None)]


async def test_the_first_call_over_a_long_way_waits_for_the_connection() -> None:
    async with (
        watched() as (address, doorkeeper),
        wire_to(address, delay_seconds=0.2) as wire,
        connect(wire.address) as client,
    ):
        with pytest.raises(CallFailedError, match="does not know the call"):
            await client.served_models()
    assert doorkeeper.seen == [("GetModel", None)]


async def test_a_key_goes_over_a_network_by_tls_only_unless_that_is_wanted() -> None:
    with pytest.raises(ConfigError, match=r"in plain text.*--ca-file"):
        async with connected("orchestrator.example:7000", WITH_KEY):
            pass
    open_key = ConnectionSettings(api_key=KEY, is_key_sent_openly=True)
    for address, settings in (("orchestrator.example:7000", open_key), ("unix:/run/x.sock", WITH_KEY)):
        async with connected(address, settings) as connection:
            assert connection.metadata == (("authorization", f"Bearer {KEY}"),)


def test_a_key_is_not_shown() -> None:
    assert KEY not in repr(WITH_KEY)


@pytest.mark.parametrize("key", ["", "two words", "line\nbreak", "鍵"])
def test_a_key_that_no_header_can_carry_is_refused(key: str) -> None:
    with pytest.raises(ConfigError, match="one word"):
        ConnectionSettings(api_key=key)


@pytest.mark.parametrize(
    "fields",
    [{"own_files": OwnFiles(Path("a.crt"), Path("a.key"))}, {"server_name": "paceline-target"}],
)
def test_what_is_for_tls_needs_an_authority(fields: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="--ca-file"):
        ConnectionSettings(**fields)
