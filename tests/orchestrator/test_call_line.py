"""Calls of many sessions that go out together: each caller gets its own answer, and one failure is one caller's."""

import asyncio
from collections.abc import Sequence

import pytest

from orchestrator.call_line import CallLine
from orchestrator.errors import SessionLostError, SessionStoreUnavailableError
from orchestrator.session_script import MAX_BATCH, Call, Outcome
from orchestrator.session_store import SessionStore, StoreSettings
from tests.orchestrator.redis_servers import PROGRAMS, program_of, server
from tests.orchestrator.rig import until
from tests.orchestrator.session_cases import PROMPT, commit_of, loaded, new_session


class Sender:
    """Answers a batch when it is let go, each call with its session's name."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.go = asyncio.Semaphore(0)
        self.failures: dict[str, BaseException] = {}
        self.failure: Exception | None = None

    async def send(self, calls: Sequence[Call]) -> Sequence[Outcome]:
        names = [call.session_id for call in calls]
        self.batches.append(names)
        await self.go.acquire()
        if self.failure is not None:
            raise self.failure
        return [self.failures.get(name, [name]) for name in names]


def calls(line: CallLine, *names: str) -> list[asyncio.Task[list[object]]]:
    return [asyncio.create_task(line.run(Call(name, "commit"))) for name in names]


async def test_calls_of_one_moment_go_out_together_and_each_gets_its_answer():
    sender = Sender()
    line = CallLine(sender.send)
    running = calls(line, "a", "b", "c")
    sender.go.release()
    assert await asyncio.gather(*running) == [["a"], ["b"], ["c"]]
    assert sender.batches == [["a", "b", "c"]]


async def test_what_comes_while_two_batches_are_on_their_way_is_the_next_one():
    sender = Sender()
    line = CallLine(sender.send)
    for number in (1, 2):
        calls(line, str(number))
        await until(lambda number=number: len(sender.batches) == number)
    late = calls(line, "c", "d")
    await asyncio.sleep(0)
    assert sender.batches == [["1"], ["2"]]
    sender.go.release()
    await until(lambda: len(sender.batches) == 3)
    assert sender.batches[2] == ["c", "d"]
    sender.go.release()
    sender.go.release()
    await asyncio.gather(*late)


async def test_a_line_that_was_idle_sends_again():
    sender = Sender()
    line = CallLine(sender.send)
    for _ in range(5):
        sender.go.release()
        assert await line.run(Call("a", "commit")) == ["a"]
    assert sender.batches == [["a"]] * 5


async def test_a_batch_has_its_limit():
    sender = Sender()
    line = CallLine(sender.send)
    running = calls(line, *map(str, range(MAX_BATCH + 3)))
    for _ in range(2):
        sender.go.release()
    await asyncio.gather(*running)
    assert [len(batch) for batch in sender.batches] == [MAX_BATCH, 3]


async def test_the_failure_of_one_call_is_its_callers_alone():
    sender = Sender()
    sender.failures["b"] = ConnectionError("gone")
    line = CallLine(sender.send)
    running = calls(line, "a", "b")
    sender.go.release()
    assert await running[0] == ["a"]
    with pytest.raises(SessionStoreUnavailableError):
        await running[1]


async def test_a_batch_that_fails_tells_every_caller_and_the_line_goes_on():
    sender = Sender()
    sender.failure = SessionStoreUnavailableError("gone")
    line = CallLine(sender.send)
    running = calls(line, "a", "b")
    sender.go.release()
    outcomes = await asyncio.gather(*running, return_exceptions=True)
    assert [type(one) for one in outcomes] == [SessionStoreUnavailableError] * 2
    assert outcomes[0] is not outcomes[1]
    sender.failure = None
    sender.go.release()
    assert await line.run(Call("c", "commit")) == ["c"]


async def test_a_caller_that_goes_away_leaves_the_others_their_answers():
    sender = Sender()
    line = CallLine(sender.send)
    running = calls(line, "a", "b")
    await until(lambda: bool(sender.batches))
    running[0].cancel()
    sender.go.release()
    assert await running[1] == ["b"]
    assert running[0].cancelled()


async def test_closing_gives_up_what_is_on_its_way():
    sender = Sender()
    line = CallLine(sender.send)
    running = calls(line, "a")
    await until(lambda: bool(sender.batches))
    running[0].cancel()
    await line.close()
    assert sender.batches == [["a"]]


@pytest.mark.parametrize("program", PROGRAMS)
async def test_commits_side_by_side_are_each_judged_by_their_own_session(program):
    async with server(program_of(program)) as redis, SessionStore.connect(StoreSettings(redis.url)) as store:
        for name in ("good", "moved", "text"):
            await store.create(new_session(name))
        async with redis.client() as client:
            await client.set("paceline:{text}:state", "no hash")
        outcomes = await asyncio.gather(
            *(
                store.commit(name, 1, commit_of(4, position=position))
                for name, position in (("good", 3), ("moved", 9), ("text", 3), ("gone", 3))
            ),
            return_exceptions=True,
        )
        expected = [type(None), SessionLostError, SessionStoreUnavailableError, SessionLostError]
        assert [type(one) for one in outcomes] == expected
        assert (await loaded(store, "good")).ids == (*PROMPT, 4)
        assert (await loaded(store, "moved")).ids == PROMPT


@pytest.mark.parametrize("program", PROGRAMS)
async def test_a_batch_reaches_a_server_that_has_lost_the_script(program):
    async with server(program_of(program)) as redis, SessionStore.connect(StoreSettings(redis.url)) as store:
        for name in ("a", "b"):
            await store.create(new_session(name))
        async with redis.client() as client:
            await client.script_flush()
        await asyncio.gather(*(store.commit(name, 1, commit_of(4, position=3)) for name in ("a", "b")))
        assert (await loaded(store, "b")).ids == (*PROMPT, 4)
