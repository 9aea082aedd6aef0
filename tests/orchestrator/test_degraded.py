"""A draft that fails, is late, is gone or talks nonsense changes the speed and never the text."""

import asyncio

import grpc
import pytest

from tests.orchestrator.rig import draft, fixed, ids_request, orchestrating, target, until
from tests.orchestrator.scripted_replicas import error, start
from tests.orchestrator.test_generation import PROMPT, check_invariants

QUICK = {"draft_patience_seconds": 0.05, "draft_cool_down_seconds": 0.02, "max_draft_cool_down_seconds": 0.1}


async def test_without_a_draft_replica_the_target_decodes_alone(redis):
    async with orchestrating(redis.url, [target()]) as rig:
        completion = await rig.client.complete(ids_request(PROMPT, 30))
        await check_invariants(rig, completion)
    assert set(completion.summary.speculation.num_degraded_rounds) == {"NO_DRAFT_REPLICA"}


async def test_a_draft_with_another_vocabulary_is_not_used(redis):
    other = draft()
    other.replica.vocabulary_sha256 = "other"
    async with orchestrating(redis.url, [target(), other]) as rig:
        completion = await rig.client.complete(ids_request(PROMPT, 30))
        await check_invariants(rig, completion)
        assert rig.draft_pool.num_refused > 0
        assert not rig.drafts[0].rounds
    assert set(completion.summary.speculation.num_degraded_rounds) == {"VOCABULARY_MISMATCH"}


@pytest.mark.parametrize("reason", ["KV_BLOCKS_EXHAUSTED", "INTERNAL", "SUPERSEDED"])
async def test_a_draft_that_refuses_now_and_then_is_left_alone_and_tried_again(redis, reason):
    flaky = draft(quality=1.0)

    async def fault(session_id: str, round_number: int):
        return error(grpc.StatusCode.RESOURCE_EXHAUSTED, reason) if 2 <= round_number <= 4 else None

    flaky.replica.fault = fault
    async with orchestrating(redis.url, [target(), flaky], draft_cool_down_seconds=0.0) as rig:
        completion = await rig.client.complete(ids_request(PROMPT, 60))
        await check_invariants(rig, completion)
    speculation = completion.summary.speculation
    assert sum(speculation.num_degraded_rounds.values()) == 3
    assert speculation.num_accepted_tokens > 40


async def test_a_failing_draft_is_left_alone_during_its_cool_down(redis):
    failing = draft()

    async def fault(session_id: str, round_number: int):
        return error(grpc.StatusCode.INTERNAL, "INTERNAL") if round_number else None

    failing.replica.fault = fault
    async with orchestrating(redis.url, [target(), failing], draft_cool_down_seconds=60) as rig:
        completion = await rig.client.complete(ids_request(PROMPT, 60))
        await check_invariants(rig, completion)
        assert len(rig.drafts[0].rounds) == 2
    assert completion.summary.speculation.num_degraded_rounds == {
        "INTERNAL": 58
    }  # neither round 0 nor the last one wants a draft


async def test_a_draft_that_hangs_delays_a_session_once(redis):
    hanging, forever = draft(), asyncio.Event()

    async def fault(session_id: str, round_number: int) -> None:
        if round_number == 3:
            await forever.wait()

    hanging.replica.fault = fault
    async with orchestrating(redis.url, [target(), hanging], **QUICK) as rig:
        completion = await rig.client.complete(ids_request(PROMPT, 60))
        await check_invariants(rig, completion)
        assert max(one.round for one in rig.drafts[0].rounds) == 3
        # What it answers after its session has ended does not bring the session back for good.
        forever.set()
        await until(lambda: completion.started.session_id in rig.drafts[0].released)
        assert not rig.drafts[0].caches
    assert set(completion.summary.speculation.num_degraded_rounds) == {"DRAFT_LATE"}


async def test_a_late_prefill_is_not_begun_anew(redis):
    slow, prefilled = draft(quality=1.0), asyncio.Event()
    target_service = target()

    async def draft_fault(session_id: str, round_number: int) -> None:
        if round_number == 0:
            await prefilled.wait()

    async def target_fault(session_id: str, round_number: int) -> None:
        if round_number == 10:
            prefilled.set()
            await asyncio.sleep(0.02)

    slow.replica.fault, target_service.replica.fault = draft_fault, target_fault
    async with orchestrating(redis.url, [target_service, slow], **QUICK) as rig:
        completion = await rig.client.complete(ids_request(PROMPT, 60))
        await check_invariants(rig, completion)
        from_the_start = [one for one in rig.drafts[0].rounds if one.point.position == 0]
        assert len(from_the_start) == 1
    assert completion.summary.speculation.num_degraded_rounds == {"DRAFT_LATE": 10}
    assert completion.summary.speculation.num_accepted_tokens > 30


async def test_a_draft_that_dies_mid_way_is_replaced_by_another(redis):
    dying, other = draft(0), draft(1)

    async def fault(session_id: str, round_number: int) -> None:
        if round_number == 3:
            dying.replica.is_ready = False
            raise ConnectionError

    dying.replica.fault = fault
    async with orchestrating(redis.url, [target(), dying, other], draft_cool_down_seconds=0.0) as rig:
        completion = await rig.client.complete(ids_request(PROMPT, 60))
        await check_invariants(rig, completion)
        assert rig.drafts[1].rounds[0].point.position == 0
        assert rig.drafts[1].rounds[0].point.HasField("sampling")
    assert completion.summary.speculation.num_degraded_rounds == {"CONNECTION_LOST": 1}


async def test_a_draft_that_has_forgotten_the_session_gets_all_ids(redis):
    forgetful = draft(quality=1.0)

    async def fault(session_id: str, round_number: int) -> None:
        if round_number == 4 and len([one for one in forgetful.replica.rounds if one.round == 4]) == 1:
            forgetful.replica.caches.clear()

    forgetful.replica.fault = fault
    async with orchestrating(redis.url, [target(), forgetful]) as rig:
        completion = await rig.client.complete(ids_request(PROMPT, 60))
        await check_invariants(rig, completion)
        again = [one.point for one in rig.drafts[0].rounds if one.round == 4]
    assert [point.position > 0 for point in again] == [True, False]
    assert list(again[1].committed_ids)[: len(PROMPT)] == list(PROMPT)
    assert not completion.summary.speculation.num_degraded_rounds


async def test_nonsense_from_a_draft_is_not_passed_on(redis, monkeypatch):
    monkeypatch.setattr("tests.orchestrator.scripted_replicas.guess", lambda *_: 1 << 20)
    async with orchestrating(redis.url, [target(), draft()], draft_cool_down_seconds=0.0) as rig:
        completion = await rig.client.complete(ids_request(PROMPT, 20, speculation=fixed(3)))
        await check_invariants(rig, completion)
        assert not any(one.draft_ids for one in rig.targets[0].rounds)
    assert set(completion.summary.speculation.num_degraded_rounds) == {"INVALID_PROPOSAL"}


async def test_a_draft_that_comes_late_to_the_pool_is_used(redis):
    late = draft(quality=1.0)
    late.replica.is_ready = False
    server = await start(late)
    target_service = target()

    async def fault(session_id: str, round_number: int) -> None:
        if round_number == 5:
            late.replica.is_ready = True
            await until(lambda: bool(rig.draft_pool.descriptions))

    target_service.replica.fault = fault
    settings = {"draft_addresses": (late.replica.address,)}
    async with orchestrating(redis.url, [target_service], **settings) as rig:
        completion = await rig.client.complete(ids_request(PROMPT, 60))
        await check_invariants(rig, completion)
    await server.stop(None)
    assert completion.summary.speculation.num_degraded_rounds == {"NO_DRAFT_REPLICA": 5}
    assert completion.summary.speculation.num_accepted_tokens > 30


@pytest.mark.parametrize("distributions", [[b""], [b"x", b"y", b"z"], [bytes.fromhex("00000000ffff")] * 3])
async def test_distributions_that_the_target_would_refuse_are_not_passed_on(redis, distributions):
    async with orchestrating(
        redis.url, [target(), draft(distributions=distributions)], draft_cool_down_seconds=0.0
    ) as rig:
        completion = await rig.client.complete(ids_request(PROMPT, 20, speculation=fixed(3)))
        await check_invariants(rig, completion)
        assert not any(one.draft_distributions for one in rig.targets[0].rounds)
    assert set(completion.summary.speculation.num_degraded_rounds) == {"INVALID_PROPOSAL"}
