"""Redis beside the critical path: nothing is sent before it is safe, and neither Redis nor a client fills memory."""

import asyncio
import os
import signal

import pytest

from orchestrator.commit_line import CommitLine
from orchestrator.outbox import Outbox
from orchestrator.session_record import Commit, SessionRecord, SessionStatus, TakeOver
from orchestrator.start import CommittedPoint
from paceline.client.errors import CallFailedError
from paceline.client.generation import GenerationStarted, TokenChunk
from paceline.serving.errors import StaleEpochError
from tests.orchestrator.rig import draft, failure_of, ids_request, orchestrating, target, until
from tests.orchestrator.test_generation import PROMPT, check_invariants


def take_over_of(record: SessionRecord) -> TakeOver:
    point = CommittedPoint(record.epoch, len(record.ids))
    return TakeOver(
        point, record.epoch + 1, len(record.ids), (), record.digest, record.owners, "somebody else"
    )


def commit_at(position: int) -> Commit:
    return Commit(position, (position,), b"", SessionStatus.RUNNING)


class HeldStore:
    """Commits that end when the test lets them."""

    def __init__(self) -> None:
        self.begun: list[Commit] = []
        self.go = asyncio.Semaphore(0)

    async def commit(self, one: Commit) -> None:
        self.begun.append(one)
        await self.go.acquire()
        if one.digest == b"taken":
            raise StaleEpochError("taken over")


async def test_commits_run_in_order_and_at_most_so_many_are_behind():
    store = HeldStore()
    line = CommitLine(store.commit, 2)
    first = await line.submit(commit_at(0))
    await until(lambda: len(store.begun) == 1)
    second = await line.submit(commit_at(1))
    third = asyncio.create_task(line.submit(commit_at(2)))
    await asyncio.sleep(0)
    assert not third.done()
    store.go.release()
    await first
    assert not second.done()
    await third
    store.go.release()
    store.go.release()
    await line.drain()
    assert [token for one in store.begun for token in one.ids] == [0, 1, 2]
    assert second.done()
    await line.close()


async def test_what_gathers_behind_a_commit_follows_it_as_one():
    store = HeldStore()
    line = CommitLine(store.commit, 4)
    await line.submit(commit_at(0))
    await until(lambda: len(store.begun) == 1)
    gathered = [await line.submit(commit_at(position)) for position in (1, 2)]
    gathered.append(await line.submit(Commit(3, (3, 4), b"last", SessionStatus.FINISHED)))
    store.go.release()
    await until(lambda: len(store.begun) == 2)
    assert store.begun[1] == Commit(1, (1, 2, 3, 4), b"last", SessionStatus.FINISHED)
    assert not any(one.done() for one in gathered)
    store.go.release()
    await asyncio.gather(*gathered)
    await line.close()


async def test_after_a_failed_commit_nothing_further_is_committed():
    store = HeldStore()
    line = CommitLine(store.commit, 4)
    first = await line.submit(commit_at(0))
    await until(lambda: len(store.begun) == 1)
    failing = await line.submit(Commit(1, (1,), b"taken", SessionStatus.RUNNING))
    store.go.release()
    await first
    await until(lambda: len(store.begun) == 2)
    behind = await line.submit(commit_at(2))
    store.go.release()
    for failed in (failing, behind):
        with pytest.raises(StaleEpochError):
            await failed
    with pytest.raises(StaleEpochError):
        await line.submit(commit_at(3))
    assert len(store.begun) == 2
    await line.close()


async def test_an_item_leaves_the_outbox_only_when_it_is_acknowledged():
    outbox: Outbox[str] = Outbox(2)
    first, second = (asyncio.get_running_loop().create_future() for _ in range(2))
    await outbox.put("a", first)
    await outbox.put("b", second)
    third = asyncio.create_task(outbox.put("c", second))
    items = aiter(outbox)
    taken = asyncio.ensure_future(anext(items))
    await asyncio.sleep(0)
    assert not taken.done()
    first.set_result(None)
    assert await taken == "a"
    await third
    second.set_result(None)
    outbox.close(None)
    assert [item async for item in items] == ["b", "c"]


async def test_rounds_stop_while_redis_does_and_go_on_with_it(redis):
    paused = target()
    sent: list[int] = []

    async def fault(session_id: str, round_number: int) -> None:
        if round_number == 6:
            os.kill(redis.process.pid, signal.SIGSTOP)

    paused.replica.fault = fault
    settings = {"redis_timeout_seconds": 30.0, "max_uncommitted_rounds": 3}
    async with orchestrating(redis.url, [paused, draft()], **settings) as rig:
        completing = asyncio.create_task(rig.client.complete(ids_request(PROMPT, 60)))
        await until(lambda: bool(paused.replica.rounds) and paused.replica.rounds[-1].round >= 6)
        await asyncio.sleep(0.3)
        sent.append(paused.replica.rounds[-1].round)
        os.kill(redis.process.pid, signal.SIGCONT)
        await check_invariants(rig, await completing)
    assert sent[0] <= 6 + 1 + 3


async def test_redis_gone_for_good_ends_a_generation_with_a_reason_and_nothing_unsafe(redis):
    dying = target()
    seen = []

    async def fault(session_id: str, round_number: int) -> None:
        if round_number == 6:
            await redis.process.stop(5)

    dying.replica.fault = fault
    settings = {"redis_timeout_seconds": 0.2, "redis_patience_seconds": 0.5}
    async with orchestrating(redis.url, [dying, draft()], **settings) as rig:
        caught = await failure_of(rig.client.generate(ids_request(PROMPT, 60)), seen)
        assert caught.call_reason == "SESSION_STORE_UNAVAILABLE"
        assert caught.code == "UNAVAILABLE"
        assert all(chunk.round < 6 for chunk in seen[1:])
        await until(lambda: not dying.replica.caches and not rig.drafts[0].caches)
        with pytest.raises(CallFailedError) as caught:
            await rig.client.complete(ids_request(PROMPT, 10))
        assert caught.value.call_reason == "SESSION_STORE_UNAVAILABLE"


async def test_a_client_does_not_wait_until_a_redis_that_is_gone_knows_of_its_end(redis):
    paused = target()
    seen = []

    async def fault(session_id: str, round_number: int) -> None:
        if round_number == 6:
            os.kill(redis.process.pid, signal.SIGSTOP)

    paused.replica.fault = fault
    settings = {"redis_timeout_seconds": 0.2, "redis_retries": 0, "redis_patience_seconds": 0.2}
    async with orchestrating(redis.url, [paused, draft()], **settings) as rig:
        try:
            caught = await failure_of(rig.client.generate(ids_request(PROMPT, 60)), seen)
        finally:
            os.kill(redis.process.pid, signal.SIGCONT)
        assert caught.call_reason == "SESSION_STORE_UNAVAILABLE"
        await until(lambda: not paused.replica.caches)
        # Whatever was sent to it has come by now: its end is not among it.
        assert (await rig.stored(seen[0].session_id)).status is SessionStatus.RUNNING


async def test_a_session_that_another_owner_takes_is_given_up(redis):
    robbed = target()

    async def fault(session_id: str, round_number: int) -> None:
        if round_number == 6:
            record = await rig.stored(session_id)
            await rig.store.take_over(session_id, take_over_of(record))

    robbed.replica.fault = fault
    async with orchestrating(redis.url, [robbed, draft()]) as rig:
        with pytest.raises(CallFailedError) as caught:
            await rig.client.complete(ids_request(PROMPT, 60))
        assert (caught.value.code, caught.value.call_reason) == ("ABORTED", "STALE_EPOCH")
        await until(lambda: not robbed.replica.caches)


async def test_a_slow_client_stops_the_rounds(redis):
    async with orchestrating(redis.url, [target(), draft()], max_tokens=100_000) as rig:
        rig.targets[0].max_context_tokens = 200_000
        events = rig.client.generate(ids_request(PROMPT, 4000))
        await anext(events)
        await anext(events)
        num_rounds = -1
        while num_rounds != len(rig.targets[0].rounds):
            num_rounds = len(rig.targets[0].rounds)
            await asyncio.sleep(0.3)
        assert num_rounds < 1500
        tokens = [token async for event in events if isinstance(event, TokenChunk) for token in event.tokens]
        assert len(tokens) > 3900


async def test_a_client_that_vanishes_is_forgotten_everywhere(redis):
    async with orchestrating(redis.url, [target(), draft()]) as rig:
        other = asyncio.create_task(rig.client.complete(ids_request((9, 9), 400)))
        events = rig.client.generate(ids_request(PROMPT, 4000))
        started = await anext(events)
        assert isinstance(started, GenerationStarted)
        await anext(events)
        await events.aclose()
        session_id = started.session_id
        async with asyncio.timeout(5):
            await until(
                lambda: session_id in rig.targets[0].released and session_id in rig.drafts[0].released
            )
            await until(lambda: is_suspended(rig, session_id))
        await check_invariants(rig, await other, (9, 9))
        assert session_id not in rig.targets[0].caches
        assert session_id not in rig.drafts[0].caches
        assert all(replica.num_sessions == 0 for replica in rig.target_pool.replicas)
        record = await rig.stored(session_id)
    assert record.lease_deadline_ms == 0


async def is_suspended(rig, session_id: str) -> bool:
    return (await rig.stored(session_id)).status == "suspended"
