"""Nothing but health is reachable without a key, and what a key is good for depends on its tenant's role."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import grpc
import grpc.aio
import pytest
from google.rpc import error_details_pb2
from grpc_channelz.v1 import channelz_pb2, channelz_pb2_grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_status import rpc_status
from structlog.testing import capture_logs

from orchestrator.errors import ApiKeyInvalidError
from orchestrator.orchestrator_metrics import OrchestratorMetrics
from orchestrator.program import guards_of
from orchestrator.refusals import Refusals
from paceline.client.generation import GenerationEvent
from paceline.client.orchestrator import connect
from paceline.serving.status import error_reason
from paceline.telemetry.metrics import Metrics
from paceline.v1 import (
    log_service_pb2,
    log_service_pb2_grpc,
    session_service_pb2,
    session_service_pb2_grpc,
    status_service_pb2,
    status_service_pb2_grpc,
)
from paceline.v1 import orchestrator_service_pb2 as messages
from paceline.v1.orchestrator_service_pb2_grpc import OrchestratorServiceStub
from tests.orchestrator.rig import Rig, failure_of, ids_request, orchestrating, target, until
from tests.orchestrator.tenant_rig import counted, entry, key_entry, key_of, write_tenants
from tests.orchestrator.test_continuations import ids_of
from tests.orchestrator.test_generation import PROMPT
from tests.orchestrator.test_resuming_client import slow_target

Metadata = tuple[tuple[str, str], ...]
Call = Callable[[grpc.aio.Channel, Metadata], Awaitable[Any]]
PAST = datetime(2020, 1, 1, tzinfo=UTC).isoformat()


async def first_of(stream: AsyncIterator[Any]) -> Any:
    return await anext(aiter(stream))


async def reflect(channel: grpc.aio.Channel, metadata: Metadata) -> None:
    any_channel: Any = channel  # the stubs of gRPC's own services know no asyncio
    stub: Any = reflection_pb2_grpc.ServerReflectionStub(any_channel)
    requests = iter([reflection_pb2.ServerReflectionRequest(list_services="")])
    await first_of(stub.ServerReflectionInfo(requests, metadata=metadata))


async def get_servers(channel: grpc.aio.Channel, metadata: Metadata) -> None:
    any_channel: Any = channel
    stub: Any = channelz_pb2_grpc.ChannelzStub(any_channel)
    await stub.GetServers(channelz_pb2.GetServersRequest(), metadata=metadata)


async def generate(channel: grpc.aio.Channel, metadata: Metadata) -> None:
    request = messages.GenerateRequest(token_ids=messages.TokenIdsInput(ids=PROMPT), max_tokens=2)
    async for _ in OrchestratorServiceStub(channel).Generate(request, metadata=metadata):
        pass


async def ask_status(channel: grpc.aio.Channel, metadata: Metadata) -> None:
    stub = status_service_pb2_grpc.StatusServiceStub(channel)
    await stub.GetStatus(status_service_pb2.GetStatusRequest(), metadata=metadata)


FOR_USERS: Mapping[str, Call] = {
    "GetModel": lambda channel, metadata: OrchestratorServiceStub(channel).GetModel(
        messages.OrchestratorServiceGetModelRequest(), metadata=metadata
    ),
    "Generate": generate,
}
FOR_OPERATORS: Mapping[str, Call] = {
    "GetStatus": ask_status,
    "ListSessions": lambda channel, metadata: session_service_pb2_grpc.SessionServiceStub(
        channel
    ).ListSessions(session_service_pb2.ListSessionsRequest(), metadata=metadata),
    "GetLogLevel": lambda channel, metadata: log_service_pb2_grpc.LogServiceStub(channel).GetLogLevel(
        log_service_pb2.GetLogLevelRequest(), metadata=metadata
    ),
    "GetServers": get_servers,
    "ServerReflectionInfo": reflect,
}


async def outcome(call: Call, rig: Rig, header: str | None) -> tuple[str, str]:
    """The status and reason that a call with an authorization header gets.

    gRPC's client may take it for a fault of the connection that a stream ends while it still sends; then it asks again.
    """
    metadata: Metadata = (("authorization", header),) if header is not None else ()
    found = ("OK", "")
    async with grpc.aio.insecure_channel(rig.address) as channel:
        for _ in range(3):
            try:
                await call(channel, metadata)
            except grpc.aio.AioRpcError as error:
                found = error.code().name, error_reason(error).reason
            if found != ("INTERNAL", "INTERNAL"):
                break
    return found


@pytest.fixture
async def rig(redis, tmp_path):
    tenants = write_tenants(
        tmp_path,
        entry("ann"),
        entry("ops", role="operator"),
        entry("old", role="operator", keys=(key_entry("key-of-old", expires=PAST),)),
    )
    async with orchestrating(redis.url, [target()], tenants_file=tenants, tenants_reload_seconds=0.02) as rig:
        yield rig


async def test_every_call_needs_a_key_of_a_tenant_that_may_make_it(rig):
    for name, call in {**FOR_USERS, **FOR_OPERATORS}.items():
        for header in (None, "", "Basic key-of-ann", "Bearer", "Bearer ", "key-of-ann"):
            assert await outcome(call, rig, header) == ("UNAUTHENTICATED", "API_KEY_MISSING"), (name, header)
        for header in ("Bearer wrong", "Bearer key-of-anna", "Bearer Key-of-ann"):
            assert await outcome(call, rig, header) == ("UNAUTHENTICATED", "API_KEY_INVALID"), (name, header)
        expired = await outcome(call, rig, "Bearer key-of-old")
        assert expired == ("UNAUTHENTICATED", "API_KEY_EXPIRED"), name
        as_user = await outcome(call, rig, "bearer key-of-ann")
        assert as_user == (("OK", "") if name in FOR_USERS else ("PERMISSION_DENIED", "ROLE_NOT_ALLOWED")), (
            name
        )
        assert await outcome(call, rig, "Bearer key-of-ops") == ("OK", ""), name


async def test_health_is_open_and_what_does_not_exist_is_not_even_looked_for(rig):
    async with grpc.aio.insecure_channel(rig.address) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        assert (await stub.Check(health_pb2.HealthCheckRequest())).status
        assert (await first_of(stub.Watch(health_pb2.HealthCheckRequest()))).status

    async def call_nothing(channel: grpc.aio.Channel, metadata: Metadata) -> None:
        await channel.unary_unary("/grpc.health.v1.HealthX/Check")(b"", metadata=metadata)

    assert await outcome(call_nothing, rig, None) == ("UNAUTHENTICATED", "API_KEY_MISSING")
    assert await outcome(call_nothing, rig, "Bearer key-of-ann") == ("PERMISSION_DENIED", "ROLE_NOT_ALLOWED")
    assert (await outcome(call_nothing, rig, "Bearer key-of-ops"))[0] == "UNIMPLEMENTED"


async def test_refusals_are_counted_and_logged_with_the_tenant_and_without_the_key(rig):
    with capture_logs() as lines:
        for header in (None, "Bearer wr0ng", "Bearer key-of-ann", "Bearer key-of-ann", "Bearer key-of-old"):
            await outcome(ask_status, rig, header)
    assert counted(rig, "paceline.refused_calls") == {
        ("", "API_KEY_MISSING"): 1,
        ("", "API_KEY_INVALID"): 1,
        ("ann", "ROLE_NOT_ALLOWED"): 2,
        ("old", "API_KEY_EXPIRED"): 1,
    }
    refused = [line for line in lines if line["event"] == "call_refused"]
    assert [(line["tenant"], line["reason"]) for line in refused] == [
        ("", "API_KEY_MISSING"),
        ("", "API_KEY_INVALID"),
        ("ann", "ROLE_NOT_ALLOWED"),
        ("old", "API_KEY_EXPIRED"),
    ]
    assert all(line["method"].endswith("/GetStatus") and line["peer"] for line in refused)
    assert not any(key in repr(lines) for key in ("wr0ng", "key-of"))


async def test_a_stream_goes_on_when_its_key_is_replaced_and_the_next_call_needs_the_new_one(redis, tmp_path):
    old, new = key_entry("key-of-ann"), key_entry("new-key")
    tenants = write_tenants(tmp_path, entry("ann", keys=(old,)))
    async with orchestrating(
        redis.url,
        [slow_target(0)],
        key_of("ann"),
        tenants_file=tenants,
        tenants_reload_seconds=0.02,
    ) as rig:
        stream = rig.client.generate(ids_request(PROMPT, 100))
        seen: list[GenerationEvent] = [await anext(stream)]
        write_tenants(tmp_path, entry("ann", keys=(old, new)))
        await until(lambda: is_good(rig, "new-key"))
        assert await is_good(rig, "key-of-ann")
        write_tenants(tmp_path, entry("ann", keys=(new,)))
        await until(lambda: is_bad(rig, "key-of-ann"))
        assert await is_good(rig, "new-key")
        seen += [event async for event in stream]
        assert len(ids_of(seen)) == 100
        error = await failure_of(rig.client.generate(ids_request(PROMPT, 1)), [])
        assert (error.code, error.call_reason) == ("UNAUTHENTICATED", "API_KEY_INVALID")


async def is_good(rig: Rig, key: str) -> bool:
    return await outcome(FOR_USERS["GetModel"], rig, f"Bearer {key}") == ("OK", "")


async def is_bad(rig: Rig, key: str) -> bool:
    return not await is_good(rig, key)


async def test_without_a_tenants_file_everybody_may_call_everything(redis):
    async with orchestrating(redis.url, [target()]) as rig:
        for call in {**FOR_USERS, **FOR_OPERATORS}.values():
            assert await outcome(call, rig, None) == ("OK", "")
            assert await outcome(call, rig, "Bearer whatever") == ("OK", "")


@pytest.mark.parametrize(("address", "num_warnings"), [("127.0.0.1:7000", 0), ("0.0.0.0:7000", 1)])
def test_an_orchestrator_that_is_open_to_a_network_warns_once(address, num_warnings):
    surroundings: Any = SimpleNamespace(
        tenants=None, config=SimpleNamespace(listen=address, http_listen=None)
    )
    with capture_logs() as lines:
        assert guards_of(surroundings) == []
    assert [line["event"] for line in lines] == ["open_to_everybody"] * num_warnings


def test_a_flood_of_refusals_is_a_line_a_second():
    now = 100.0
    refusals = Refusals(OrchestratorMetrics(Metrics()), lambda: now)
    with capture_logs() as lines:
        for _ in range(500):
            refusals.note("", ApiKeyInvalidError())
            now += 0.004
    assert [line["num_refusals"] for line in lines] == [1, 250]


async def test_a_quota_error_tells_any_grpc_library_when_to_try_again(redis, tmp_path):
    tenants = write_tenants(tmp_path, entry("ann", quotas={"requests_per_minute": 1}))
    async with (
        orchestrating(redis.url, [target()], tenants_file=tenants) as rig,
        connect(rig.address, key_of("ann")) as client,
        grpc.aio.insecure_channel(rig.address) as channel,
    ):
        await client.complete(ids_request(PROMPT, 1))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await generate(channel, (("authorization", "Bearer key-of-ann"),))
    reason, _, facts = error_reason(caught.value)
    assert (caught.value.code().name, reason) == ("RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED")
    assert (facts["tenant"], facts["quota"], facts["limit"]) == ("ann", "requests_per_minute", "1")
    retry = error_details_pb2.RetryInfo()
    status = rpc_status.from_call(caught.value)  # pyright: ignore[reportArgumentType]
    assert status is not None
    assert [detail.Unpack(retry) for detail in status.details].count(True) == 1
    assert retry.retry_delay.ToMilliseconds() == round(1000 * float(facts["retry_after_seconds"])) > 0
