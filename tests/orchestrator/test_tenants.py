"""Tenants at two orchestrators with one Redis: whose a session is, and how much each may use."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from pathlib import Path

import grpc.aio
from structlog.testing import capture_logs

from paceline.client.errors import CallFailedError
from paceline.client.generation import ContinuationMode, GenerationRequest
from paceline.client.orchestrator import Orchestrator, connect
from paceline.v1 import orchestrator_service_pb2 as messages
from paceline.v1 import session_service_pb2, session_service_pb2_grpc
from paceline.v1.orchestrator_service_pb2_grpc import OrchestratorServiceStub
from tests.orchestrator.rig import Rig, failure_of, ids_request, orchestrating, target, until
from tests.orchestrator.scripted_model import continuation
from tests.orchestrator.tenant_rig import Entry, counted, entry, key_of, write_tenants
from tests.orchestrator.test_continuations import all_events, chunks_of, going_on, ids_of, session_of
from tests.orchestrator.test_generation import PROMPT
from tests.orchestrator.test_resuming_client import slow_target

RESUME, REWIND, FORK = ContinuationMode.RESUME, ContinuationMode.REWIND, ContinuationMode.FORK
OPERATOR = entry("ops", role="operator")


@asynccontextmanager
async def two_orchestrators(
    redis_url: str, directory: Path, *entries: Entry, services: Sequence = (), **settings
) -> AsyncIterator[tuple[Rig, Rig]]:
    """Two with the same tenants; the clients of the rigs are ann's."""
    async with AsyncExitStack() as stack:
        tenants = write_tenants(directory, *entries)
        services = services or (target(0), target(1))
        rigs = [
            await stack.enter_async_context(
                orchestrating(redis_url, [one], key_of("ann"), tenants_file=tenants, **settings)
            )
            for one in services
        ]
        yield rigs[0], rigs[1]


async def refusal(client: Orchestrator, request: GenerationRequest) -> tuple[str, str, dict[str, str]]:
    error = await failure_of(client.generate(request), [])
    return error.code, error.call_reason, error.metadata


async def is_refused(client: Orchestrator) -> bool:
    try:
        await client.complete(ids_request(PROMPT, 1))
    except CallFailedError as error:
        return error.call_reason == "QUOTA_EXCEEDED"
    return False


async def is_served(client: Orchestrator) -> bool:
    return not await is_refused(client)


class TestSessions:
    async def test_another_tenants_session_is_as_one_that_does_not_exist(self, redis, tmp_path):
        async with (
            two_orchestrators(redis.url, tmp_path, entry("ann"), entry("bob"), OPERATOR) as (rig, other),
            connect(other.address, key_of("bob")) as bob,
            connect(other.address, key_of("ops")) as operator,
        ):
            events = await all_events(rig, ids_request(PROMPT, 20))
            token, session_id = chunks_of(events)[1].rollback_token, session_of(events)
            before = await rig.stored(session_id)
            assert before.tenant == "ann"
            for client in (bob, operator):
                for mode in ContinuationMode:
                    code, reason, metadata = await refusal(client, going_on(token, mode))
                    assert (code, reason) == ("NOT_FOUND", "SESSION_NOT_FOUND")
                    assert metadata == {"session_id": session_id}
            assert await rig.stored(session_id) == before
            resumed = await other.client.complete(going_on(token, RESUME))
            assert [*ids_of(events[:3]), *resumed.token_ids] == continuation(PROMPT, 20)

    async def test_what_goes_on_stays_its_tenants(self, redis, tmp_path):
        async with two_orchestrators(redis.url, tmp_path, entry("ann")) as (rig, other):
            events = await all_events(rig, ids_request(PROMPT, 20))
            token = chunks_of(events)[1].rollback_token
            fork = await other.client.complete(going_on(token, FORK))
            await other.client.complete(going_on(token, REWIND, max_tokens=30))
            for session_id in (session_of(events), fork.started.session_id):
                assert (await rig.stored(session_id)).tenant == "ann"

    async def test_a_session_from_before_there_were_tenants_is_for_operators(self, redis, tmp_path):
        async with (
            orchestrating(redis.url, [target(2)]) as nameless,
            two_orchestrators(redis.url, tmp_path, entry("ann"), OPERATOR) as (rig, _),
            connect(rig.address, key_of("ops")) as operator,
        ):
            events = await all_events(nameless, ids_request(PROMPT, 20))
            token, session_id = chunks_of(events)[1].rollback_token, session_of(events)
            code, reason, _ = await refusal(rig.client, going_on(token, RESUME))
            assert (code, reason) == ("NOT_FOUND", "SESSION_NOT_FOUND")
            await operator.complete(going_on(token, RESUME))
            assert (await rig.stored(session_id)).tenant == ""
            fork = await operator.complete(going_on(token, FORK))
            assert (await rig.stored(fork.started.session_id)).tenant == "ops"
            own = await all_events(rig, ids_request(PROMPT, 5))
            await nameless.client.complete(going_on(chunks_of(own)[0].rollback_token, RESUME))
            assert (await rig.stored(session_of(own))).tenant == "ann"

    async def test_operators_see_whose_each_session_is(self, redis, tmp_path):
        tenants = (entry("ann"), entry("bob"), OPERATOR)
        async with (
            two_orchestrators(redis.url, tmp_path, *tenants) as (rig, other),
            connect(rig.address, key_of("bob")) as bob,
            grpc.aio.insecure_channel(other.address) as channel,
        ):
            ann_s = await rig.client.complete(ids_request(PROMPT, 2))
            bob_s = await bob.complete(ids_request(PROMPT, 2))
            stub = session_service_pb2_grpc.SessionServiceStub(channel)
            metadata = (("authorization", "Bearer key-of-ops"),)
            listing = await stub.ListSessions(session_service_pb2.ListSessionsRequest(), metadata=metadata)
            shown = await stub.GetSession(
                session_service_pb2.GetSessionRequest(session_id=bob_s.started.session_id), metadata=metadata
            )
        assert {one.session_id: one.tenant for one in listing.sessions} == {
            ann_s.started.session_id: "ann",
            bob_s.started.session_id: "bob",
        }
        assert shown.session.tenant == "bob"


class TestQuotas:
    async def test_requests_count_over_both_orchestrators_and_other_tenants_go_on(self, redis, tmp_path):
        tenants = (entry("ann", quotas={"requests_per_minute": 3}), entry("bob"))
        async with (
            two_orchestrators(redis.url, tmp_path, *tenants) as (rig, other),
            connect(other.address, key_of("bob")) as bob,
        ):
            for one in (rig, other, rig):
                await one.client.complete(ids_request(PROMPT, 2))
            with capture_logs() as lines:
                for one in (other, rig, rig):
                    code, reason, metadata = await refusal(one.client, ids_request(PROMPT, 2))
                    assert (code, reason) == ("RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED")
                    assert (metadata["quota"], metadata["limit"]) == ("requests_per_minute", "3")
                    assert 50 < float(metadata["retry_after_seconds"]) <= 62
            await bob.complete(ids_request(PROMPT, 2))
            assert counted(rig, "paceline.refused_calls") == {("ann", "QUOTA_EXCEEDED"): 2}
        refused = [line for line in lines if line["event"] == "call_refused"]
        assert [(line["tenant"], line["quota"]) for line in refused] == [("ann", "requests_per_minute")] * 2

    async def test_tokens_end_no_stream_and_refuse_the_next_request_everywhere(self, redis, tmp_path):
        tenants = (entry("ann", quotas={"tokens_per_minute": 50}),)
        async with two_orchestrators(redis.url, tmp_path, *tenants) as (rig, other):
            events = await all_events(rig, ids_request(PROMPT, 200))
            assert ids_of(events) == continuation(PROMPT, 200)
            _, reason, metadata = await refusal(rig.client, ids_request(PROMPT, 2))
            assert (reason, metadata["quota"]) == ("QUOTA_EXCEEDED", "tokens_per_minute")
            await until(lambda: is_refused(other.client))
            resumed = await other.client.complete(going_on(chunks_of(events)[1].rollback_token, RESUME))
            assert len(resumed.token_ids) > 100, "what was admitted goes on"
            assert counted(rig, "paceline.tenant_tokens") == {
                ("ann", "prompt"): len(PROMPT),
                ("ann", "generated"): 200,
            }

    async def test_a_continuation_is_charged_what_it_adds(self, redis, tmp_path):
        tenants = (entry("ann", quotas={"tokens_per_minute": 10_000}),)
        async with two_orchestrators(redis.url, tmp_path, *tenants) as (rig, other):
            events = await all_events(rig, ids_request(PROMPT, 20, num_choices=2))
            token = next(one.rollback_token for one in chunks_of(events) if one.choice == 0)
            await other.client.complete(going_on(token, RESUME))
            assert counted(other, "paceline.tenant_tokens") == {("ann", "prompt"): 0}
            more = GenerationRequest(
                ids_request((1, 2, 3, 4), 5).prompt,
                max_tokens=5,
                continuation=going_on(token, FORK).continuation,
            )
            await other.client.complete(more)
            assert counted(other, "paceline.tenant_tokens") == {
                ("ann", "prompt"): 4,
                ("ann", "generated"): 5,
            }
            assert counted(rig, "paceline.tenant_tokens") == {
                ("ann", "prompt"): len(PROMPT),
                ("ann", "generated"): 40,
            }

    async def test_sessions_at_once_count_over_both_orchestrators(self, redis, tmp_path):
        tenants = (entry("ann", quotas={"max_sessions": 1}),)
        services = (slow_target(0), slow_target(1))
        async with two_orchestrators(redis.url, tmp_path, *tenants, services=services) as (rig, other):
            for one, another in ((rig, other), (other, rig)):
                async with aclosing(one.client.generate(ids_request(PROMPT, 1000))) as stream:
                    await anext(stream)
                    for client in (one.client, another.client):
                        _, reason, metadata = await refusal(client, ids_request(PROMPT, 2))
                        assert (reason, metadata["quota"]) == ("QUOTA_EXCEEDED", "max_sessions")
                await until(lambda another=another: is_served(another.client))
            for one in (rig, other, rig, other):  # each has ended where the next begins
                await one.client.complete(ids_request(PROMPT, 2))

    async def test_what_can_never_be_had_is_told_apart(self, redis, tmp_path):
        tenants = (entry("ann", quotas={"max_tokens": 7, "max_sessions": 2}),)
        async with (
            two_orchestrators(redis.url, tmp_path, *tenants) as (rig, _),
            grpc.aio.insecure_channel(rig.address) as channel,
        ):
            for fields, field, maximum in (
                ({"max_tokens": 8}, "max_tokens", "7"),
                ({"max_tokens": 2, "num_choices": 3}, "num_choices", "2"),
            ):
                request = ids_request(PROMPT, **fields)
                code, reason, metadata = await refusal(rig.client, request)
                assert (code, reason) == ("INVALID_ARGUMENT", "INVALID_REQUEST")
                assert (metadata["field"], metadata["maximum"]) == (field, maximum)
            unlimited = await rig.client.complete(GenerationRequest(ids_request(PROMPT, 1).prompt))
            assert len(unlimited.token_ids) == 7
            model = await OrchestratorServiceStub(channel).GetModel(
                messages.OrchestratorServiceGetModelRequest(),
                metadata=(("authorization", "Bearer key-of-ann"),),
            )
            assert (model.limits.max_tokens, model.limits.max_choices) == (7, 2)
