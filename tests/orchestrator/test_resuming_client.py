"""A client of several orchestrators sees one stream, whatever happens to them."""

import asyncio
from collections import defaultdict
from contextlib import AsyncExitStack

import pytest

from paceline.client.errors import CallFailedError
from paceline.client.generation import (
    GenerationRequest,
    GenerationStarted,
    GenerationSummary,
    Sampling,
    TokenChunk,
)
from paceline.client.resuming import RetrySettings, connect_to_all
from tests.orchestrator.rig import Rig, draft, ids_request, orchestrating, target
from tests.orchestrator.scripted_model import continuation
from tests.orchestrator.tenant_rig import counted, entry, key_of, write_tenants
from tests.orchestrator.test_generation import PROMPT

QUICK = RetrySettings(give_up_seconds=10.0)


def slow_target(number: int):
    one = target(number)

    async def wait(session_id: str, round_number: int) -> None:
        await asyncio.sleep(0.01)

    one.replica.fault = wait
    return one


class Run:
    """Two orchestrators, the first of which shuts down when some tokens are there, and what a client got."""

    def __init__(self) -> None:
        self.started: dict[int, list[GenerationStarted]] = defaultdict(list)
        self.ids: dict[int, list[int]] = defaultdict(list)
        self.texts: dict[int, str] = defaultdict(str)
        self.summaries: dict[int, list[GenerationSummary]] = defaultdict(list)

    async def generate(self, redis_url: str, request: GenerationRequest, num_tokens: int) -> None:
        async with AsyncExitStack() as stack:
            rigs = [
                await stack.enter_async_context(
                    orchestrating(redis_url, [slow_target(number), draft(number)], handover_seconds=0.0)
                )
                for number in range(2)
            ]
            client = await stack.enter_async_context(connect_to_all([rig.address for rig in rigs], QUICK))
            async for event in client.generate(request):
                match event:
                    case GenerationStarted():
                        self.started[event.choice].append(event)
                    case TokenChunk():
                        self.ids[event.choice] += [token.id for token in event.tokens]
                        self.texts[event.choice] += event.text
                    case GenerationSummary():
                        self.summaries[event.choice].append(event)
                if sum(map(len, self.ids.values())) >= num_tokens:
                    drain_the_busy_one(rigs)


def drain_the_busy_one(rigs: list[Rig]) -> None:
    if not any(rig.draining.is_set() for rig in rigs):
        busy = max(rigs, key=lambda rig: rig.target_pool.replicas[0].num_sessions)
        busy.draining.set()


async def test_a_generation_goes_on_at_the_orchestrator_that_is_left(redis):
    run = Run()
    await run.generate(redis.url, ids_request(PROMPT, 200), num_tokens=20)
    assert run.ids[0] == continuation(PROMPT, 200)
    assert len(run.started[0]) == len(run.summaries[0]) == 1
    assert run.summaries[0][0].usage.num_completion_tokens == 200


async def test_every_choice_goes_on(redis):
    run = Run()
    request = ids_request(PROMPT, 120, num_choices=3, sampling=Sampling(1.0))
    await run.generate(redis.url, request, num_tokens=60)
    for choice in range(3):
        assert run.ids[choice] == continuation(PROMPT, 120)
        assert len(run.started[choice]) == len(run.summaries[choice]) == 1
    assert len({run.started[choice][0].seed for choice in range(3)}) == 3


async def test_what_no_repeat_can_help_is_the_callers_at_once(redis):
    async with orchestrating(redis.url, [target(), draft()]) as rig, connect_to_all([rig.address]) as client:
        with pytest.raises(CallFailedError) as caught:
            await client.complete(ids_request((), 5))
    assert caught.value.call_reason == "EMPTY_PROMPT"


async def test_a_quota_that_is_not_free_again_in_time_is_the_callers_at_once(redis, tmp_path):
    tenants = write_tenants(tmp_path, entry("ann", quotas={"requests_per_minute": 1}))
    async with (
        orchestrating(redis.url, [target()], key_of("ann"), tenants_file=tenants) as rig,
        connect_to_all([rig.address], QUICK, key_of("ann")) as client,
    ):
        await client.complete(ids_request(PROMPT, 5))
        with pytest.raises(CallFailedError) as caught:
            await client.complete(ids_request(PROMPT, 5))
        assert caught.value.call_reason == "QUOTA_EXCEEDED"
        assert caught.value.retry_after_seconds > QUICK.give_up_seconds
        assert counted(rig, "paceline.refused_calls") == {("ann", "QUOTA_EXCEEDED"): 1}


async def test_where_nobody_answers_the_last_failure_is_the_callers():
    async with connect_to_all(["127.0.0.1:9"], RetrySettings(give_up_at_first_seconds=0.3)) as client:
        with pytest.raises(CallFailedError) as caught:
            await client.complete(ids_request(PROMPT, 5))
    assert caught.value.code == "UNAVAILABLE"
