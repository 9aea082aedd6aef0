"""What a request may wish for, against scripted replicas: choices, stop conditions, drafters, an echo."""

import asyncio
from dataclasses import replace

import pytest

from paceline.client.generation import (
    Drafter,
    FinishReason,
    Sampling,
    Speculation,
    SpeculationMode,
    StopConditions,
    TokenOrigin,
)
from tests.orchestrator.rig import OFF, TOKENIZER, draft, fixed, ids_request, orchestrating, target, until
from tests.orchestrator.scripted_model import continuation
from tests.orchestrator.test_generation import PROMPT, check_invariants

LOOKUP = Speculation(SpeculationMode.FIXED, 4, Drafter.PROMPT_LOOKUP)


async def test_choices_share_the_prompt_and_have_seeds_that_repeat_them(redis):
    services = [target(0), target(1), draft()]
    async with orchestrating(redis.url, services) as rig:
        request = ids_request(PROMPT, 30, num_choices=3, sampling=Sampling(seed=2**64 - 1))
        completions = await rig.client.complete_choices(request)
        for completion in completions:
            await check_invariants(rig, completion)
        assert [one.started.seed for one in completions] == [2**64 - 1, 0, 1]
        assert len({one.started.session_id for one in completions}) == 3
        assert min(len(one.rounds) for one in rig.targets) == 0, "all begin where the prompt is cached"
        first, *others = (one.started.session_id for one in completions)
        points = [one.point for replica in rig.targets for one in replica.rounds]
        assert {one.fork_of for one in points if one.session_id in others} == {first, ""}
        assert {one.fork_of for one in points if one.session_id == first} == {""}


async def test_choices_count_as_sessions_and_leave_nothing_when_the_client_vanishes(redis):
    async with orchestrating(redis.url, [target(), draft()], max_sessions=4) as rig:
        events = rig.client.generate(ids_request(PROMPT, 4000, num_choices=4))
        seen: set[int] = set()
        while seen != {0, 1, 2, 3}:
            seen.add((await anext(events)).choice)
        await events.aclose()
        await until(lambda: not rig.targets[0].caches and not rig.drafts[0].caches)
        await check_invariants(rig, await rig.client.complete(ids_request(PROMPT, 5)))


async def test_a_failing_choice_ends_the_call_and_the_others(redis):
    failing = target()

    async def fault(session_id: str, round_number: int):
        if round_number == 5:
            failing.replica.is_ready = False
            raise ConnectionError

    failing.replica.fault = fault
    async with orchestrating(redis.url, [failing], failover_wait_seconds=0.05) as rig:
        with pytest.raises(Exception, match="NO_TARGET_REPLICA"):
            await rig.client.complete_choices(ids_request(PROMPT, 4000, num_choices=3, speculation=OFF))
        failing.replica.is_ready = True
        failing.replica.fault = lambda *_: asyncio.sleep(0)
        await until(lambda: bool(rig.target_pool.descriptions))
        await check_invariants(rig, await rig.client.complete(ids_request(PROMPT, 5)))


@pytest.mark.parametrize("speculation", [OFF, fixed(1), fixed(8), LOOKUP])
async def test_a_stop_text_ends_the_text_the_same_way_however_it_is_drafted(redis, speculation):
    expected = continuation(PROMPT, 200)
    text = TOKENIZER.decode(expected)
    stop_text = text[40:43]
    at = text.find(stop_text)
    async with orchestrating(redis.url, [target(), draft(quality=0.8)]) as rig:
        request = ids_request(PROMPT, 200, speculation=speculation, stop=StopConditions((stop_text,)))
        cut = await rig.client.complete(request)
        whole = await rig.client.complete(
            replace(request, stop=StopConditions((stop_text,), include_text=True))
        )
        record = await rig.stored(cut.started.session_id)
    assert cut.text == text[:at]
    assert whole.text == text[:at] + stop_text
    assert (cut.summary.finish_reason, cut.summary.stop_text) == (FinishReason.STOP, stop_text)
    assert list(record.ids) == [*PROMPT, *cut.token_ids]
    assert list(cut.token_ids) == expected[: len(cut.token_ids)]
    assert record.status == "finished"


async def test_a_stop_id_ends_the_generation_and_is_named(redis):
    expected = continuation(PROMPT, 100)
    stop_id = expected[33]
    async with orchestrating(redis.url, [target(), draft()]) as rig:
        completion = await rig.client.complete(ids_request(PROMPT, 100, stop=StopConditions(ids=(stop_id,))))
        sampling = rig.targets[0].rounds[0].point.sampling
    assert list(completion.token_ids) == expected[: expected.index(stop_id) + 1]
    assert (completion.summary.finish_reason, completion.summary.stop_id) == (FinishReason.STOP, stop_id)
    assert stop_id in sampling.end_ids
    assert sampling.num_prompt_tokens == len(PROMPT)


async def test_prompt_lookup_drafts_without_a_draft_and_changes_no_id(redis):
    async with orchestrating(redis.url, [target(), draft()]) as rig:
        completion = await rig.client.complete(ids_request(PROMPT, 1500, speculation=LOOKUP))
        await check_invariants(rig, completion)
        assert not rig.drafts[0].rounds
    speculation = completion.summary.speculation
    assert speculation.num_rounds_by_drafter["prompt_lookup"] > 0
    assert not speculation.num_degraded_rounds
    assert sum(speculation.num_rounds_by_drafter.values()) == speculation.num_rounds


async def test_prompt_lookup_takes_the_place_of_a_draft_that_is_not_there(redis):
    async with orchestrating(redis.url, [target()]) as rig:
        completion = await rig.client.complete(ids_request(PROMPT, 1500))
        await check_invariants(rig, completion)
    speculation = completion.summary.speculation
    assert speculation.num_rounds_by_drafter["prompt_lookup"] > 0
    assert speculation.num_degraded_rounds["NO_DRAFT_REPLICA"] > 0


async def test_no_drafter_is_no_speculation(redis):
    async with orchestrating(redis.url, [target(), draft()]) as rig:
        nobody = Speculation(SpeculationMode.FIXED, 4, Drafter.NONE)
        completion = await rig.client.complete(ids_request(PROMPT, 20, speculation=nobody))
        await check_invariants(rig, completion)
        assert not rig.drafts[0].rounds
    assert completion.summary.speculation.num_draft_tokens == 0


@pytest.mark.parametrize("quality", [0.0, 0.5, 1.0])
async def test_adaptive_speculation_changes_no_id_and_says_what_it_chose(redis, quality):
    adaptive = Speculation(SpeculationMode.ADAPTIVE, 8)
    async with orchestrating(redis.url, [target(), draft(quality=quality)]) as rig:
        completion = await rig.client.complete(ids_request(PROMPT, 200, speculation=adaptive))
        await check_invariants(rig, completion)
    speculation = completion.summary.speculation
    assert sum(speculation.num_rounds_per_draft_length) == speculation.num_rounds
    assert len(speculation.num_rounds_per_draft_length) <= 9


async def test_an_echo_sends_the_prompt_back_first(redis):
    async with orchestrating(redis.url, [target(), draft()]) as rig:
        completion = await rig.client.complete(ids_request(PROMPT, 20, echo=True))
        plain = await rig.client.complete(ids_request(PROMPT, 20))
    assert completion.text == bytes(PROMPT).decode() + plain.text
    assert completion.token_ids == plain.token_ids
    prompt_tokens = [one.id for one in completion.tokens if one.origin is TokenOrigin.PROMPT]
    assert tuple(prompt_tokens) == PROMPT
    assert completion.summary.usage.num_completion_tokens == 20
