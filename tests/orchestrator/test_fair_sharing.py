"""A busy orchestrator: who waits, who is next, and what ends the waiting."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from paceline.client.errors import CallFailedError
from paceline.client.generation import GenerationStarted
from paceline.client.orchestrator import Orchestrator, connect
from tests.orchestrator.rig import Rig, ids_request, orchestrating, target, until
from tests.orchestrator.tenant_rig import counted, entry, key_of, write_tenants
from tests.orchestrator.test_generation import PROMPT, check_invariants


class Crowd:
    """Requests at one orchestrator whose rounds stand still until `go` is set, and in which order tenants' began."""

    def __init__(self, rig: Rig, clients: dict[str, Orchestrator], go: asyncio.Event) -> None:
        self.rig = rig
        self.go = go
        self.began: list[str] = []
        self._clients = clients

    def start(self, name: str, num_tokens: int = 5) -> asyncio.Task[int]:
        return asyncio.create_task(self._generate(name, num_tokens))

    async def _generate(self, name: str, num_tokens: int) -> int:
        num_events = 0
        async for event in self._clients[name].generate(ids_request(PROMPT, num_tokens)):
            num_events += 1
            if isinstance(event, GenerationStarted):
                self.began.append(name)
        return num_events

    def num_waiting(self) -> float:
        return sum(counted(self.rig, "paceline.waiting_requests").values())


@asynccontextmanager
async def crowd(redis_url: str, directory, *names: str, **settings) -> AsyncIterator[Crowd]:
    busy, go = target(), asyncio.Event()

    async def wait(session_id: str, round_number: int) -> None:
        await go.wait()

    busy.replica.fault = wait
    tenants = write_tenants(directory, *map(entry, names))
    async with (
        orchestrating(redis_url, [busy], tenants_file=tenants, **settings) as rig,
        connect(rig.address, key_of(names[0])) as first,
        connect(rig.address, key_of(names[-1])) as last,
    ):
        yield Crowd(rig, {names[0]: first, names[-1]: last}, go)


async def test_one_request_is_next_behind_many_of_another_tenant(redis, tmp_path):
    async with crowd(redis.url, tmp_path, "ann", "bob", max_sessions=2, max_waiting_requests=100) as busy:
        many = [busy.start("ann") for _ in range(40)]
        await until(lambda: busy.num_waiting() == 38)
        one = busy.start("bob")
        await until(lambda: busy.num_waiting() == 39)
        busy.go.set()
        await asyncio.gather(one, *many)
        assert len(busy.began) == 41
        assert busy.began.index("bob") <= 3, (
            "two of ann's ran already, and one more may have begun in the same moment"
        )
        assert busy.num_waiting() == 0


async def test_a_client_that_gives_up_leaves_the_line(redis, tmp_path):
    async with crowd(redis.url, tmp_path, "ann", max_sessions=1, max_waiting_requests=9) as busy:
        first = busy.start("ann")
        await until(lambda: len(busy.began) == 1)
        waiting = [busy.start("ann") for _ in range(3)]
        await until(lambda: busy.num_waiting() == 3)
        for task in waiting[:2]:
            task.cancel()
        await until(lambda: busy.num_waiting() == 1)
        busy.go.set()
        await asyncio.gather(first, waiting[2])
        assert len(busy.began) == 2


async def test_the_line_and_the_patience_have_an_end(redis, tmp_path):
    settings = {"max_sessions": 1, "max_waiting_requests": 1, "waiting_seconds": 0.3}
    async with crowd(redis.url, tmp_path, "ann", **settings) as busy:
        running = busy.start("ann")
        await until(lambda: len(busy.began) == 1)
        waiting = busy.start("ann")
        await until(lambda: busy.num_waiting() == 1)
        for refused in (busy.start("ann"), waiting):
            with pytest.raises(CallFailedError) as caught:
                await refused
            assert (caught.value.code, caught.value.call_reason) == (
                "RESOURCE_EXHAUSTED",
                "TOO_MANY_SESSIONS",
            )
        assert counted(busy.rig, "paceline.refused_calls") == {("ann", "TOO_MANY_SESSIONS"): 2}
        busy.go.set()
        await running


async def test_an_orchestrator_that_drains_sends_the_waiting_elsewhere(redis, tmp_path):
    async with crowd(redis.url, tmp_path, "ann", max_sessions=1, max_waiting_requests=9) as busy:
        running = busy.start("ann")
        await until(lambda: len(busy.began) == 1)
        waiting = [busy.start("ann") for _ in range(3)]
        await until(lambda: busy.num_waiting() == 3)
        busy.rig.draining.set()
        for task in waiting:
            with pytest.raises(CallFailedError) as caught:
                await task
            assert (caught.value.code, caught.value.call_reason) == ("UNAVAILABLE", "DRAINING")
        busy.go.set()
        await running


async def test_who_waits_without_a_tenants_file_is_served_in_turn(redis):
    async with orchestrating(redis.url, [target()], max_sessions=2, max_waiting_requests=50) as rig:
        completions = await asyncio.gather(*(rig.client.complete(ids_request(PROMPT, 20)) for _ in range(20)))
        for completion in completions:
            await check_invariants(rig, completion)
        assert counted(rig, "paceline.waiting_requests") == {("",): 0}
