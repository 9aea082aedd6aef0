"""Sessions that go on: resumed, rewound, forked, at this orchestrator or at another one."""

import asyncio
from contextlib import AsyncExitStack, aclosing
from dataclasses import replace

import pytest
from redis.asyncio import Redis

from paceline.client.generation import (
    Continuation,
    ContinuationMode,
    FinishReason,
    GenerationEvent,
    GenerationRequest,
    GenerationStarted,
    GenerationSummary,
    PromptIds,
    RawPrompt,
    Sampling,
    StopConditions,
    TokenChunk,
    TokenOrigin,
)
from paceline.rounds import prefix_digest
from tests.orchestrator.rig import (
    TOKENIZER,
    Rig,
    draft,
    failure_of,
    ids_request,
    orchestrating,
    target,
    until,
)
from tests.orchestrator.scripted_model import continuation
from tests.orchestrator.test_generation import PROMPT, check_invariants

RESUME, REWIND, FORK = ContinuationMode.RESUME, ContinuationMode.REWIND, ContinuationMode.FORK


def going_on(token: str, mode: ContinuationMode, prompt=None, **fields) -> GenerationRequest:
    return GenerationRequest(prompt, continuation=Continuation(token, mode), **fields)


async def first_events(rig: Rig, request: GenerationRequest, num_tokens: int) -> list[GenerationEvent]:
    """Read a generation until so many tokens are there, and leave it."""
    events: list[GenerationEvent] = []
    async with aclosing(rig.client.generate(request)) as stream:
        async for event in stream:
            events.append(event)
            if len(ids_of(events)) >= num_tokens:
                break
    return events


def ids_of(events: list[GenerationEvent]) -> list[int]:
    return [token.id for event in events if isinstance(event, TokenChunk) for token in event.tokens]


def text_of(events: list[GenerationEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, TokenChunk))


def chunks_of(events: list[GenerationEvent]) -> list[TokenChunk]:
    return [event for event in events if isinstance(event, TokenChunk)]


def session_of(events: list[GenerationEvent]) -> str:
    assert isinstance(events[0], GenerationStarted)
    return events[0].session_id


async def all_events(rig: Rig, request: GenerationRequest) -> list[GenerationEvent]:
    return [event async for event in rig.client.generate(request)]


class TestResume:
    async def test_every_point_of_a_stream_is_resumed_to_the_same_end(self, redis):
        async with orchestrating(redis.url, [target(), draft(quality=0.7)]) as rig:
            events = await all_events(rig, ids_request(PROMPT, 40))
            expected = ids_of(events)
            for chunk in chunks_of(events):
                resumed = await rig.client.complete(going_on(chunk.rollback_token, RESUME))
                num_sent = chunk.position + len(chunk.tokens) - len(PROMPT)
                assert list(resumed.token_ids) == expected[num_sent:]
                assert resumed.started.position == len(PROMPT) + num_sent
                assert resumed.summary.finish_reason is FinishReason.LENGTH
                assert resumed.summary.usage.num_completion_tokens == 40
                assert resumed.summary.recovery.num_replayed_tokens == 40 - num_sent
                assert {token.origin for token in resumed.tokens} <= {TokenOrigin.REPLAYED}

    async def test_a_point_before_a_later_turn_is_refused(self, redis):
        async with orchestrating(redis.url, [target(), draft()]) as rig:
            events = await all_events(rig, ids_request(PROMPT, 10))
            early, last = chunks_of(events)[0], chunks_of(events)[-1]
            turn = going_on(last.rollback_token, REWIND, PromptIds((1, 2, 3)), max_tokens=5)
            await rig.client.complete(turn)
            error = await failure_of(rig.client.generate(going_on(early.rollback_token, RESUME)), [])
            assert (error.code, error.call_reason) == ("FAILED_PRECONDITION", "STALE_ROLLBACK_TOKEN")

    async def test_a_stream_that_broke_goes_on_at_another_orchestrator(self, redis):
        targets, drafts = [target(0), target(1)], [draft()]
        async with AsyncExitStack() as stack:
            rig = await stack.enter_async_context(orchestrating(redis.url, [*targets, *drafts]))
            events = await first_events(rig, ids_request(PROMPT, 60), 20)
            session_id = session_of(events)
            await until(lambda: is_status(rig, session_id, "suspended"))
            other = await stack.enter_async_context(orchestrating(redis.url, [target(2), draft(3)]))
            last = chunks_of(events)[-1]
            resumed = await other.client.complete(going_on(last.rollback_token, RESUME))
            assert [*ids_of(events), *resumed.token_ids] == continuation(PROMPT, 60)
            assert text_of(events) + resumed.text == TOKENIZER.decode(continuation(PROMPT, 60))
            record = await rig.stored(session_id)
            assert record.status == "finished"
            assert list(record.ids) == [*PROMPT, *continuation(PROMPT, 60)]
            assert record.owners.target.replica_id == "target-2"

    async def test_the_start_of_a_stream_is_a_point_too(self, redis):
        async with orchestrating(redis.url, [target(), draft()]) as rig:
            events = await first_events(rig, ids_request(PROMPT, 30), 1)
            started = events[0]
            assert isinstance(started, GenerationStarted)
            resumed = await rig.client.complete(going_on(started.rollback_token, RESUME))
        assert list(resumed.token_ids) == continuation(PROMPT, 30)

    async def test_stop_texts_and_limits_are_those_of_the_session(self, redis):
        stop = StopConditions(texts=("Z", "END"), ids=(77,))
        async with orchestrating(redis.url, [target(eos_odds=30), draft()]) as rig:
            request = ids_request(PROMPT, 200, stop=stop)
            whole = await all_events(rig, request)
            for chunk in chunks_of(whole)[:-1]:
                resumed = await all_events(rig, going_on(chunk.rollback_token, RESUME))
                num_sent = chunk.position + len(chunk.tokens) - len(PROMPT)
                assert ids_of(resumed) == ids_of(whole)[num_sent:]
                assert summary_of(resumed).finish_reason is summary_of(whole).finish_reason
                assert summary_of(resumed).stop_text == summary_of(whole).stop_text
                assert summary_of(resumed).stop_id == summary_of(whole).stop_id

    async def test_the_later_of_two_owners_goes_on_and_the_other_is_refused(self, redis):
        slow = target()

        async def wait(session_id: str, round_number: int) -> None:
            await asyncio.sleep(0.01)

        slow.replica.fault = wait
        async with orchestrating(redis.url, [slow, draft()]) as rig:
            stream = rig.client.generate(ids_request(PROMPT, 400))
            seen: list[GenerationEvent] = [await anext(stream), await anext(stream)]
            token = chunks_of(seen)[-1].rollback_token
            resuming = asyncio.ensure_future(rig.client.complete(going_on(token, RESUME)))
            error = await failure_of(stream, seen)
            resumed = await resuming
            assert error.call_reason == "STALE_EPOCH"
            expected = continuation(PROMPT, 400)
            assert ids_of(seen) == expected[: len(ids_of(seen))]
            assert list(resumed.token_ids) == expected[len(chunks_of(seen)[0].tokens) :]
            record = await rig.stored(session_of(seen))
            assert list(record.ids) == [*PROMPT, *expected]

    async def test_what_redis_has_lost_is_generated_again_as_it_was(self, redis):
        async with orchestrating(redis.url, [target(), draft()]) as rig:
            whole = await all_events(rig, ids_request(PROMPT, 40))
            early, late = chunks_of(whole)[1], chunks_of(whole)[-2]
            await lose_last_writes(redis.url, rig, session_of(whole), early)
            resumed = await all_events(rig, going_on(late.rollback_token, RESUME))
            num_sent = late.position + len(late.tokens) - len(PROMPT)
            assert ids_of(resumed) == continuation(PROMPT, 40)[num_sent:]
            await check_invariants(rig, await rig.client.complete(ids_request(PROMPT, 40)))

    @pytest.mark.parametrize(
        ("fields", "field"),
        [
            ({"max_tokens": 5}, "max_tokens"),
            ({"prompt": RawPrompt("x")}, "prompt"),
            ({"sampling": Sampling(0.5)}, "sampling"),
            ({"stop": StopConditions(texts=("x",))}, "stop"),
            ({"num_choices": 2}, "num_choices"),
            ({"echo": True}, "echo"),
        ],
    )
    async def test_a_resumed_session_takes_nothing_new(self, redis, fields, field):
        async with orchestrating(redis.url, [target(), draft()]) as rig:
            events = await all_events(rig, ids_request(PROMPT, 8))
            request = replace(going_on(chunks_of(events)[0].rollback_token, RESUME), **fields)
            error = await failure_of(rig.client.generate(request), [])
        assert (error.code, error.call_reason) == ("INVALID_ARGUMENT", "INVALID_REQUEST")
        assert error.metadata["field"] == field


class TestRefusals:
    async def test_a_forged_token_is_refused(self, redis):
        async with orchestrating(redis.url, [target(), draft()]) as rig:
            token = chunks_of(await all_events(rig, ids_request(PROMPT, 4)))[0].rollback_token
            for forged in ("x", token[:-4], token[:-1], "B" + token[1:], token[::-1]):
                error = await failure_of(rig.client.generate(going_on(forged, RESUME)), [])
                assert (error.code, error.call_reason) == ("INVALID_ARGUMENT", "INVALID_ROLLBACK_TOKEN")

    async def test_a_session_that_has_gone_is_not_found(self, redis):
        async with orchestrating(redis.url, [target(), draft()], session_ttl_seconds=1) as rig:
            events = await all_events(rig, ids_request(PROMPT, 4))
            await until(lambda: is_gone(rig, session_of(events)))
            token = chunks_of(events)[0].rollback_token
            error = await failure_of(rig.client.generate(going_on(token, RESUME)), [])
        assert (error.code, error.call_reason) == ("NOT_FOUND", "SESSION_NOT_FOUND")

    async def test_a_point_that_was_rewound_away_is_stale(self, redis):
        async with orchestrating(redis.url, [target(), draft()]) as rig:
            events = await all_events(rig, ids_request(PROMPT, 40))
            early, late = chunks_of(events)[0], chunks_of(events)[-1]
            await rig.client.complete(
                going_on(early.rollback_token, REWIND, PromptIds((1, 2, 3)), max_tokens=60)
            )
            error = await failure_of(rig.client.generate(going_on(late.rollback_token, RESUME)), [])
            assert (error.code, error.call_reason) == ("FAILED_PRECONDITION", "STALE_ROLLBACK_TOKEN")
            again = await rig.client.complete(going_on(early.rollback_token, REWIND, max_tokens=3))
            assert again.started.position == early.position + len(early.tokens)

    async def test_an_operators_cancellation_is_final(self, redis):
        async with orchestrating(redis.url, [target(), draft()]) as rig:
            events = await first_events(rig, ids_request(PROMPT, 400), 5)
            session_id = session_of(events)
            await until(lambda: is_status(rig, session_id, "suspended"))
            await rig.store.cancel(session_id)
            token = chunks_of(events)[-1].rollback_token
            for mode in ContinuationMode:
                error = await failure_of(rig.client.generate(going_on(token, mode)), [])
                assert (error.code, error.call_reason) == ("CANCELLED", "SESSION_CANCELLED")


class TestRewind:
    async def test_the_same_parameters_give_the_same_tokens_again(self, redis):
        async with orchestrating(redis.url, [target(), draft()]) as rig:
            events = await all_events(rig, ids_request(PROMPT, 30))
            point = chunks_of(events)[2]
            num_kept = point.position + len(point.tokens) - len(PROMPT)
            rewound = await rig.client.complete(going_on(point.rollback_token, REWIND))
            assert rewound.started.session_id == session_of(events)
            assert list(rewound.token_ids) == ids_of(events)[num_kept:]
            assert rewound.summary.usage.num_completion_tokens == 30

    async def test_an_input_goes_on_behind_the_point(self, redis):
        async with orchestrating(redis.url, [target(), draft()]) as rig:
            events = await all_events(rig, ids_request(PROMPT, 30))
            point = chunks_of(events)[2]
            kept = [*PROMPT, *ids_of(events)][: point.position + len(point.tokens)]
            rewound = await rig.client.complete(
                going_on(point.rollback_token, REWIND, RawPrompt("more"), max_tokens=10)
            )
            prompt = [*kept, *b"more"]
            assert rewound.started.num_prompt_tokens == rewound.started.position == len(prompt)
            assert list(rewound.token_ids) == continuation(prompt, 10)
            record = await rig.stored(session_of(events))
            assert list(record.ids) == [*prompt, *rewound.token_ids]
            assert record.num_prompt_ids == len(prompt)

    async def test_max_tokens_counts_from_the_point(self, redis):
        async with orchestrating(redis.url, [target(), draft()]) as rig:
            events = await all_events(rig, ids_request(PROMPT, 10))
            last = chunks_of(events)[-1].rollback_token
            for fields, field in (({"echo": True}, "echo"), ({"num_choices": 2}, "num_choices")):
                error = await failure_of(rig.client.generate(going_on(last, REWIND, **fields)), [])
                assert error.metadata["field"] == field
            error = await failure_of(rig.client.generate(going_on(last, REWIND)), [])
            assert error.metadata["field"] == "max_tokens"
            longer = await rig.client.complete(going_on(last, REWIND, max_tokens=7))
            assert list(longer.token_ids) == continuation([*PROMPT, *ids_of(events)], 7)


class TestFork:
    async def test_a_fork_leaves_the_session_as_it_is(self, redis):
        async with orchestrating(redis.url, [target(), draft()]) as rig:
            events = await all_events(rig, ids_request(PROMPT, 30))
            before = await rig.stored(session_of(events))
            point = chunks_of(events)[1]
            num_kept = point.position + len(point.tokens) - len(PROMPT)
            fork = await rig.client.complete(going_on(point.rollback_token, FORK))
            assert fork.started.session_id != session_of(events)
            assert list(fork.token_ids) == ids_of(events)[num_kept:]
            assert await rig.stored(session_of(events)) == before
            assert (await rig.stored(fork.started.session_id)).ids == before.ids
            resumed = await rig.client.complete(going_on(point.rollback_token, RESUME))
            assert list(resumed.token_ids) == ids_of(events)[num_kept:]

    async def test_the_replica_is_told_whose_cache_it_shares(self, redis):
        async with orchestrating(redis.url, [target(), draft()]) as rig:
            events = await all_events(rig, ids_request(PROMPT, 30))
            fork = await rig.client.complete(
                going_on(chunks_of(events)[1].rollback_token, FORK, num_choices=1)
            )
            first = [
                one.point for one in rig.targets[0].rounds if one.point.session_id == fork.started.session_id
            ]
            assert first[0].fork_of == session_of(events)
            assert {one.fork_of for one in first[1:]} == {""}


class TestDraining:
    async def test_a_long_generation_is_handed_over_and_resumed_elsewhere(self, redis):
        slow = target()

        async def wait(session_id: str, round_number: int) -> None:
            await asyncio.sleep(0.02)

        slow.replica.fault = wait
        async with AsyncExitStack() as stack:
            rig = await stack.enter_async_context(
                orchestrating(redis.url, [slow, draft()], handover_seconds=0.1)
            )
            other = await stack.enter_async_context(orchestrating(redis.url, [target(5), draft(5)]))
            stream = rig.client.generate(ids_request(PROMPT, 500))
            seen: list[GenerationEvent] = [await anext(stream), await anext(stream)]
            rig.draining.set()
            error = await failure_of(stream, seen)
            assert (error.code, error.call_reason) == ("UNAVAILABLE", "DRAINING")
            assert not rig.targets[0].released
            resumed = await other.client.complete(going_on(chunks_of(seen)[-1].rollback_token, RESUME))
        assert [*ids_of(seen), *resumed.token_ids] == continuation(PROMPT, 500)
        assert resumed.summary.recovery.num_replayed_tokens == 0


def summary_of(events: list[GenerationEvent]) -> GenerationSummary:
    summary = events[-1]
    assert isinstance(summary, GenerationSummary)
    return summary


async def is_status(rig: Rig, session_id: str, status: str) -> bool:
    return (await rig.stored(session_id)).status == status


async def is_gone(rig: Rig, session_id: str) -> bool:
    return await rig.store.load(session_id) is None


async def lose_last_writes(redis_url: str, rig: Rig, session_id: str, chunk: TokenChunk) -> None:
    """Have Redis hold what it held when a chunk was sent, as after a failover that lost the last writes."""
    record = await rig.stored(session_id)
    ids = record.ids[: chunk.position + len(chunk.tokens)]
    async with Redis.from_url(redis_url) as client:
        await client.delete(*[key async for key in client.scan_iter(match=f"*{session_id}*")])
    await rig.store.restore(replace(record, ids=ids, digest=prefix_digest(ids)))
