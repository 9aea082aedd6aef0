"""TargetService on the real scheduler and cache: forks, room, and what vanishing clients leave behind."""

import asyncio
import random
from typing import Any

import pytest

from paceline.engine.engine import AdmissionRules, Engine
from paceline.serving.session import Session
from paceline.v1 import round_pb2
from paceline.v1 import target_service_pb2 as messages
from paceline.v1.target_service_pb2_grpc import TargetServiceStub
from target_service.program import target_service
from tests.paceline.engine.capture import settle
from tests.paceline.engine.hash_runner import Gate, HashRunner, continuation, hash_engine
from tests.paceline.serving.rig import Rig, model_service, point, until

PROMPT = list(range(10))
NUM_CLIENTS = 200


def service(engine: Engine, **options: Any):
    return model_service(target_service, Session, engine, **options)


class Verifier:
    """One Verify stream."""

    def __init__(self, rig: Rig) -> None:
        self.call = TargetServiceStub(rig.channel).Verify()
        self._results: list[messages.VerifyResult] = []

    async def send(self, ids: list[int], session_id: str, **fields: Any) -> None:
        start = point(session_id, 0, ids, fork_of=fields.pop("fork_of", ""))
        await self.call.write(messages.VerifyRequest(rounds=[messages.VerifyRound(point=start, **fields)]))

    async def frame(self) -> messages.VerifyResponse:
        response = await self.call.read()
        assert isinstance(response, messages.VerifyResponse), "the stream ended"
        return response

    async def receive(self) -> messages.VerifyResult:
        while not self._results:
            self._results += (await self.frame()).results
        return self._results.pop(0)

    async def verify(self, ids: list[int], session_id: str, **fields: Any) -> messages.VerifyResult:
        await self.send(ids, session_id, **fields)
        return await self.receive()


@pytest.mark.parametrize(
    ("ids", "num_cached_tokens"),
    [
        ([*PROMPT, 50], 10),  # blocks of 4: two full ones, and half of the third
        ([*PROMPT[:7], 50], 7),
        ([90, *PROMPT], 0),
    ],
)
async def test_a_fork_computes_only_what_its_source_does_not_hold(
    ids: list[int], num_cached_tokens: int
) -> None:
    async with service(hash_engine()) as rig:
        verifier = Verifier(rig)
        first = await verifier.verify(PROMPT, "a")
        forked = await verifier.verify(ids, "b", fork_of="a")
        assert forked.verdict.timing.num_cached_tokens == num_cached_tokens
        assert list(forked.verdict.own_ids) == continuation(ids, 1)
        # The source goes on as if nothing had happened.
        longer = [*PROMPT, first.verdict.own_ids[0]]
        assert list((await verifier.verify(longer, "a", round=1)).verdict.own_ids) == continuation(longer, 1)


async def test_a_fork_of_a_session_at_work_is_exact() -> None:
    gate, runner = Gate(), HashRunner(num_blocks=64)
    runner.before_pass = gate.hold
    engine = hash_engine(runner=runner)
    async with service(engine) as rig:
        verifier = Verifier(rig)
        await verifier.send(PROMPT, "a", max_own_tokens=9)
        for _ in range(3):
            await asyncio.to_thread(gate.let_one_pass)
        forked = [*PROMPT, *continuation(PROMPT, 1), 50]
        await verifier.send(forked, "b", fork_of="a")
        gate.open()
        results = [await verifier.receive(), await verifier.receive()]
        verdicts = {result.session_id: result.verdict for result in results}
        assert list(verdicts["a"].own_ids) == continuation(PROMPT, 9)
        assert list(verdicts["b"].own_ids) == continuation(forked, 1)
        assert verdicts["b"].timing.num_cached_tokens >= len(PROMPT)


async def test_a_caller_that_waits_sees_what_the_engine_does() -> None:
    gate, runner = Gate(), HashRunner(num_blocks=64)
    runner.before_pass = gate.hold
    async with service(hash_engine(runner=runner), progress_seconds=0.001) as rig:
        verifier = Verifier(rig)
        await verifier.send(PROMPT, "a")
        first, second = await verifier.frame(), await verifier.frame()
        # A pass that hangs: the numbers stay as they are, and are told all the same.
        while not second.progress.num_blocks - second.progress.num_available_blocks:
            second = await verifier.frame()
        assert (first.progress.num_steps, second.progress.num_steps) == (0, 0)
        assert (second.progress.num_blocks, second.progress.num_available_blocks) == (63, 60)
        gate.open()
        assert list((await verifier.receive()).verdict.own_ids) == continuation(PROMPT, 1)


async def test_more_sessions_than_fit_are_all_answered_exactly_and_do_not_evict_each_other_in_turn() -> None:
    """Twelve generations of up to 7 blocks each share 20 blocks."""
    num_rows: list[int] = []
    runner = HashRunner(num_blocks=21)
    runner.before_pass = lambda batch: num_rows.append(batch.num_rows)
    rules = AdmissionRules(deadline_seconds=600, protect_seconds=600)
    async with service(hash_engine(runner=runner, max_context_tokens=32, admission=rules)) as rig:

        async def generate(number: int) -> list[int]:
            verifier, ids = Verifier(rig), [number, *range(9)]
            for round_ in range(18):
                result = await verifier.verify(ids, f"session {number}", round=round_)
                assert result.HasField("verdict"), result
                ids.append(result.verdict.own_ids[0])
            await release(rig, f"session {number}")
            return ids[10:]

        texts = await asyncio.gather(*(generate(number) for number in range(12)))
        assert texts == [continuation([number, *range(9)], 18) for number in range(12)]
        num_least = 12 * (len(PROMPT) + 17)
        assert sum(num_rows) < 3 * num_least, "they wait for each other; ten times as many if they did not"


async def test_clients_that_vanish_in_their_rounds_leave_nothing_running() -> None:
    """Each has a stream of its own, cut after a random number of signs of life or answers."""
    chance = random.Random(4)
    engine = hash_engine(num_blocks=512)
    async with service(engine, orphan_seconds=0.01, progress_seconds=0.01) as rig:
        tasks_before = len(asyncio.all_tasks())

        async def vanish(number: int) -> None:
            verifier = Verifier(rig)
            ids = [chance.randrange(97) for _ in range(chance.randrange(1, 200))]
            await verifier.send(ids, f"session {number}", max_own_tokens=64)
            if chance.random() < 0.5:
                await verifier.frame()
            verifier.call.cancel()

        await asyncio.gather(*(vanish(number) for number in range(NUM_CLIENTS)))
        await until(lambda: not engine._tasks and not engine.progress().num_waiting)
        await until(lambda: len(asyncio.all_tasks()) <= tasks_before)
        await until(lambda: rig.server._calls._num_running == 0)
        assert not any(session.is_busy for session in rig.host.sessions._sessions.values())
        usage = engine.usage()
        assert usage.num_free_blocks + usage.num_cached_blocks + usage.num_used_blocks == 511
        await release(rig, *(f"session {number}" for number in range(NUM_CLIENTS)))
        settle(engine)
        assert engine.usage().num_used_blocks == 0


async def release(rig: Rig, *session_ids: str) -> None:
    releases = [round_pb2.SessionRelease(session_id=one, epoch=1) for one in session_ids]
    await TargetServiceStub(rig.channel).ReleaseSessions(
        messages.TargetServiceReleaseSessionsRequest(sessions=releases)
    )
