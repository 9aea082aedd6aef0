"""A target that forgets, refuses, goes away or comes back: the text goes on where it was, or ends with a reason."""

import asyncio

import grpc

from paceline.client.errors import CallFailedError
from tests.orchestrator.rig import draft, failure_of, ids_request, orchestrating, target, until
from tests.orchestrator.scripted_replicas import ScriptedReplica, error, out_of_blocks
from tests.orchestrator.test_generation import PROMPT, check_invariants


async def test_a_target_that_has_forgotten_the_session_gets_all_ids(redis):
    forgetful = target()

    async def fault(session_id: str, round_number: int) -> None:
        if round_number == 4 and len([one for one in forgetful.replica.rounds if one.round == 4]) == 1:
            forgetful.replica.caches.clear()

    forgetful.replica.fault = fault
    async with orchestrating(redis.url, [forgetful, draft()]) as rig:
        completion = await rig.client.complete(ids_request(PROMPT, 60))
        await check_invariants(rig, completion)
        again = [one for one in rig.targets[0].rounds if one.round == 4]
    assert [one.point.position > 0 for one in again] == [True, False]
    assert again[0].draft_ids == again[1].draft_ids


async def test_a_session_moves_to_the_target_that_is_left(redis):
    first, second = target(0), target(1)
    dead: list[str] = []

    async def die(session_id: str, round_number: int) -> None:
        mine = first if session_id in first.replica.caches else second
        if round_number == 5 and not dead:
            dead.append(mine.replica.replica_id)
            mine.replica.is_ready = False
            raise ConnectionError

    first.replica.fault = second.replica.fault = die
    async with orchestrating(redis.url, [first, second, draft()]) as rig:
        completion = await rig.client.complete(ids_request(PROMPT, 60))
        await check_invariants(rig, completion)
        record = await rig.stored(completion.started.session_id)
        (survivor,) = [one for one in rig.targets if one.replica_id not in dead]
    assert record.owners.target.replica_id == survivor.replica_id
    assert record.owners.target.incarnation == survivor.incarnation
    moved = survivor.rounds[0].point
    assert (moved.epoch, moved.position) == (record.epoch, 0)
    assert moved.HasField("sampling")
    epochs = sorted({one.point.epoch for one in rig.drafts[0].rounds})
    assert len(epochs) == 2
    assert epochs[1] == record.epoch


async def test_a_target_that_comes_back_goes_on_with_the_session(redis):
    restarting = target()

    async def fault(session_id: str, round_number: int) -> None:
        if round_number == 5 and restarting.replica.incarnation != "second":
            restarting.replica.incarnation = "second"
            restarting.replica.caches.clear()
            raise ConnectionError

    restarting.replica.fault = fault
    async with orchestrating(redis.url, [restarting, draft()]) as rig:
        completion = await rig.client.complete(ids_request(PROMPT, 60))
        await check_invariants(rig, completion)
        record = await rig.stored(completion.started.session_id)
        epochs = {one.point.epoch for one in rig.targets[0].rounds}
    assert record.owners.target.incarnation == "second"
    assert len(epochs) == 2


async def test_draining_targets_hand_their_sessions_over_and_are_not_asked_again(redis):
    services = [target(0), target(1)]
    for service in services:
        service.replica.fault = drain_once(service.replica, [one.replica for one in services])
    async with orchestrating(redis.url, [*services, draft()], max_failovers=0) as rig:
        for _ in range(3):
            await check_invariants(rig, await rig.client.complete(ids_request(PROMPT, 60)))
        (draining,) = [one for one in rig.targets if one.drains.is_set()]
        assert max(one.round for one in draining.rounds) == 5
        assert len([one for one in draining.rounds if one.round == 0]) == 1


async def test_a_lease_that_is_renewed_while_its_session_moves_is_not_lost_to_ourselves(redis, monkeypatch):
    services = [target(0), target(1)]
    for service in services:
        service.replica.fault = drain_once(service.replica, [one.replica for one in services])
    async with orchestrating(redis.url, services, lease_seconds=0.15) as rig:
        take_over, renewed = rig.store.take_over, asyncio.Event()
        renew_all = rig.store.renew_all

        async def take_over_slowly(session_id, change):
            await take_over(session_id, change)
            renewed.clear()
            await renewed.wait()  # Redis has the new epoch, and we do not know yet

        async def renew_all_and_tell(sessions):
            lost = await renew_all(sessions)
            asyncio.get_running_loop().call_later(0.05, renewed.set)  # when the keeper has dealt with it
            return lost

        monkeypatch.setattr(rig.store, "take_over", take_over_slowly)
        monkeypatch.setattr(rig.store, "renew_all", renew_all_and_tell)
        completion = await rig.client.complete(ids_request(PROMPT, 60))
        await check_invariants(rig, completion)
    assert completion.summary.recovery.num_failovers == {"DRAINING": 1}


def drain_once(replica: ScriptedReplica, all_: list[ScriptedReplica]):
    async def fault(session_id: str, round_number: int):
        if round_number == 5 and not any(one.drains.is_set() for one in all_):
            replica.drains.set()
        return error(grpc.StatusCode.UNAVAILABLE, "DRAINING") if replica.drains.is_set() else None

    return fault


async def test_a_session_that_its_target_let_go_of_goes_on_there(redis):
    forgetful = target()
    refusals = iter(["SUPERSEDED"])

    async def fault(session_id: str, round_number: int):
        reason = next(refusals, None) if round_number == 5 else None
        return error(grpc.StatusCode.CANCELLED, reason) if reason else None

    forgetful.replica.fault = fault
    async with orchestrating(redis.url, [forgetful, draft()]) as rig:
        completion = await rig.client.complete(ids_request(PROMPT, 60))
        await check_invariants(rig, completion)
        assert len({one.point.epoch for one in rig.targets[0].rounds}) == 2


async def test_a_silent_target_counts_as_gone(redis):
    silent, other = target(0), target(1)
    forever = asyncio.Event()

    async def fault(session_id: str, round_number: int) -> None:
        if round_number == 5 and not forever.is_set():
            silent_rounds.append(session_id)
            if len(silent_rounds) == 1:
                await forever.wait()

    silent_rounds: list[str] = []
    silent.replica.fault = other.replica.fault = fault
    settings = {"target_deadline_seconds": 0.3, "replica_silence_seconds": 5.0, "max_failovers": 9}
    async with orchestrating(redis.url, [silent, other, draft()], **settings) as rig:
        completion = await rig.client.complete(ids_request(PROMPT, 60))
        await check_invariants(rig, completion)
        forever.set()
        await until(lambda: len(silent.replica.caches) + len(other.replica.caches) == 1)


async def test_without_any_target_left_the_client_learns_why_and_keeps_what_was_committed(redis):
    dying = target()

    async def fault(session_id: str, round_number: int) -> None:
        if round_number == 5:
            dying.replica.is_ready = False
            raise ConnectionError

    dying.replica.fault = fault
    events = []
    async with orchestrating(redis.url, [dying, draft()], failover_wait_seconds=0.1) as rig:
        caught = await failure_of(rig.client.generate(ids_request(PROMPT, 60)), events)
        record = await rig.stored(events[0].session_id)
        await until(lambda: has_status(rig, record.session_id, "failed"))
    assert (caught.code, caught.call_reason) == ("UNAVAILABLE", "NO_TARGET_REPLICA")
    sent = [token.id for chunk in events[1:] for token in chunk.tokens]
    assert sent
    assert list(record.ids) == [*PROMPT, *sent]


async def has_status(rig, session_id: str, status: str) -> bool:
    return (await rig.stored(session_id)).status == status


async def test_a_target_that_refuses_a_round_ends_its_session_only(redis):
    full = target()

    async def fault(session_id: str, round_number: int):
        is_full = len(full.replica.caches.get(session_id, ())) > 200
        return out_of_blocks(num_needed=11, num_total=10) if is_full else None

    full.replica.fault = fault
    async with orchestrating(redis.url, [full, draft()]) as rig:
        long, short = await asyncio.gather(
            rig.client.complete(ids_request(PROMPT, 300)),
            rig.client.complete(ids_request(PROMPT, 60)),
            return_exceptions=True,
        )
        assert isinstance(long, CallFailedError)
        assert (long.code, long.call_reason) == ("RESOURCE_EXHAUSTED", "KV_BLOCKS_EXHAUSTED")
        assert not isinstance(short, BaseException)
        await check_invariants(rig, short)
        await until(lambda: [*full.replica.caches] == [*rig.drafts[0].caches] == [short.started.session_id])
