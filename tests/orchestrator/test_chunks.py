"""What each chunk says of its rounds."""

from collections.abc import Sequence
from dataclasses import fields

import pytest

from orchestrator.event_messages import event_message
from paceline.client.generation import (
    ChunkTiming,
    GenerationRequest,
    GenerationSummary,
    StopConditions,
    TokenChunk,
    TokenOrigin,
)
from paceline.client.messages import event_of
from paceline.v1 import orchestrator_service_pb2 as messages
from tests.orchestrator.rig import Rig, draft, fixed, ids_request, orchestrating, target
from tests.orchestrator.test_generation import PROMPT


async def events_of(rig: Rig, request: GenerationRequest) -> tuple[list[TokenChunk], GenerationSummary]:
    events = [event async for event in rig.client.generate(request)]
    summary = events[-1]
    assert isinstance(summary, GenerationSummary)
    return [event for event in events if isinstance(event, TokenChunk)], summary


def timings_of(chunks: Sequence[TokenChunk]) -> list[ChunkTiming]:
    return [chunk.timing for chunk in chunks if chunk.timing is not None]


@pytest.mark.parametrize("stop", [StopConditions(), StopConditions(("never to be seen in the text",))])
async def test_the_details_of_all_chunks_add_up_to_the_summary(redis, stop):
    async with orchestrating(redis.url, [target(), draft(quality=0.6)]) as rig:
        chunks, summary = await events_of(rig, ids_request(PROMPT, 80, speculation=fixed(4), stop=stop))
    assert len(timings_of(chunks)) == len(chunks) > 2
    for part in fields(ChunkTiming):
        parts = [getattr(timing, part.name) for timing in timings_of(chunks)]
        assert min(parts) >= 0
        assert sum(parts) == pytest.approx(getattr(summary.timing, part.name))
    assert sum(chunk.num_draft_tokens for chunk in chunks) == summary.speculation.num_draft_tokens
    assert sum(chunk.num_accepted for chunk in chunks) == summary.speculation.num_accepted_tokens
    assert {chunk.epoch for chunk in chunks} == {1}


async def test_what_no_round_brought_has_no_timing(redis):
    async with orchestrating(redis.url, [target(), draft()]) as rig:
        chunks, summary = await events_of(rig, ids_request(PROMPT, 20, echo=True))
    assert [token.origin for token in chunks[0].tokens] == [TokenOrigin.PROMPT] * len(PROMPT)
    assert chunks[0].timing is None
    verify_seconds = sum(timing.verify_seconds for timing in timings_of(chunks))
    assert verify_seconds == pytest.approx(summary.timing.verify_seconds)


async def test_the_epoch_rises_with_the_first_tokens_of_another_target(redis):
    first, second = target(0), target(1)
    dead: list[str] = []

    async def die(session_id: str, round_number: int) -> None:
        mine = (first if session_id in first.replica.caches else second).replica
        if round_number == 5 and not dead:
            dead.append(mine.replica_id)
            mine.is_ready = False
            raise ConnectionError

    first.replica.fault = second.replica.fault = die
    async with orchestrating(redis.url, [first, second, draft()]) as rig:
        chunks, summary = await events_of(rig, ids_request(PROMPT, 60))
    assert sum(summary.recovery.num_failovers.values()) == 1
    epochs = [chunk.epoch for chunk in chunks]
    assert epochs == sorted(epochs)
    assert len(set(epochs)) == 2
    assert max(chunk.round for chunk in chunks if chunk.epoch == 1) == 4


def test_the_details_survive_the_wire_and_may_be_missing():
    timing = ChunkTiming(1.0, 2.0, 3.0, 4.0, 5.0)
    chunk = TokenChunk(7, (), "", 3, 2, 1, "t", timing, 4, 9)
    assert event_of(event_message(chunk, 1)) == chunk
    of_an_older_release = messages.GenerateResponse(chunk=messages.TokenChunk(position=7))
    assert event_of(of_an_older_release) == TokenChunk(7, (), "", 0, 0)
