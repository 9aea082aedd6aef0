"""Measures how long the passes of real replicas take, over the wire, by what they say of each round."""

import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import grpc.aio

from benchmarks.simulation.chain_model import FIRST_ID, prompt_ids
from benchmarks.simulation.step_time import StepTime
from paceline.rounds import prefix_digest
from paceline.v1 import (
    draft_service_pb2,
    draft_service_pb2_grpc,
    round_pb2,
    target_service_pb2,
    target_service_pb2_grpc,
)

NUM_PROMPT_TOKENS = 64
NUM_ROUNDS = 20
NUM_DRAFT_TOKENS = 8
# Sessions in a frame, and draft tokens of each: from 1 row to 64.
TARGET_SHAPES = ((1, 0), (1, 1), (1, 3), (1, 5), (1, 7), (2, 5), (2, 7), (4, 5), (4, 7), (8, 7))
DRAFT_SHAPES = (1, 2, 4, 8)
MIN_SAMPLES = 8


class _Samples:
    """Milliseconds of passes by their rows, as the replicas report them."""

    def __init__(self) -> None:
        self._by_rows: defaultdict[int, list[float]] = defaultdict(list)

    def add(self, timing: round_pb2.RoundTiming) -> None:
        """Take in a round, which may have had several passes."""
        if timing.num_steps:
            self._by_rows[timing.batch_rows].append(timing.compute_ns / timing.num_steps / 1e6)

    def step_time(self) -> StepTime:
        """Return the medians of all row counts that were seen often enough.

        Fewer rows never take longer than more, so that what disturbed some of the passes does not become their price.
        """
        medians = {
            rows: statistics.median(values)
            for rows, values in self._by_rows.items()
            if len(values) >= MIN_SAMPLES
        }
        return StepTime(
            tuple(
                (rows, round(min(time for more, time in medians.items() if more >= rows), 3))
                for rows in sorted(medians)
            )
        )


async def target_step_time(address: str) -> StepTime:
    """Verify rounds of several sizes at a real target."""
    samples = _Samples()
    async with grpc.aio.insecure_channel(address) as channel:
        stub: Any = target_service_pb2_grpc.TargetServiceStub(channel)
        for number, (num_sessions, num_draft_tokens) in enumerate(TARGET_SHAPES):
            names = _names(number, num_sessions)
            frames = _verify_frames(names, num_draft_tokens)
            await _play(stub.Verify(), frames, lambda result: result.verdict.timing, samples)
            await stub.ReleaseSessions(
                target_service_pb2.TargetServiceReleaseSessionsRequest(sessions=_releases(names))
            )
    return samples.step_time()


async def draft_step_time(address: str) -> StepTime:
    """Draft with several sessions at a real draft."""
    samples = _Samples()
    async with grpc.aio.insecure_channel(address) as channel:
        stub: Any = draft_service_pb2_grpc.DraftServiceStub(channel)
        for number, num_sessions in enumerate(DRAFT_SHAPES):
            names = _names(number, num_sessions)
            frames = _propose_frames(names)
            await _play(stub.Propose(), frames, lambda result: result.proposal.timing, samples)
            await stub.ReleaseSessions(
                draft_service_pb2.DraftServiceReleaseSessionsRequest(sessions=_releases(names))
            )
    return samples.step_time()


async def _play(
    call: Any, frames: Iterable[Any], timing_of: Callable[[Any], round_pb2.RoundTiming], samples: _Samples
) -> None:
    """Send frames, each after the answers of the one before; the first two only fill and warm the caches."""
    for number, (frame, num_sessions) in enumerate(frames):
        await call.write(frame)
        num_answers = 0
        while num_answers < num_sessions:
            for result in (await call.read()).results:
                assert not result.HasField("error"), result.error.message
                num_answers += 1
                if number >= 2:
                    samples.add(timing_of(result))
    await call.done_writing()


def _verify_frames(
    names: Sequence[str], num_draft_tokens: int
) -> Iterator[tuple[target_service_pb2.VerifyRequest, int]]:
    for number in range(NUM_ROUNDS):
        num_drafts = num_draft_tokens if number else 0
        draft_ids = [FIRST_ID + place for place in range(num_drafts)]
        rounds = [
            target_service_pb2.VerifyRound(point=_point(name, number), round=number, draft_ids=draft_ids)
            for name in names
        ]
        yield target_service_pb2.VerifyRequest(rounds=rounds), len(names)


def _propose_frames(names: Sequence[str]) -> Iterator[tuple[draft_service_pb2.ProposeRequest, int]]:
    for number in range(NUM_ROUNDS):
        requests = [
            draft_service_pb2.ProposalRequest(
                point=_point(name, number), round=number, num_draft_tokens=NUM_DRAFT_TOKENS if number else 0
            )
            for name in names
        ]
        yield draft_service_pb2.ProposeRequest(requests=requests), len(names)


def _point(name: str, number: int) -> round_pb2.SessionPoint:
    """Return the point of a round: the prompt first, then always the same place behind it, with another id."""
    prompt = prompt_ids(sum(name.encode()), 0, NUM_PROMPT_TOKENS)
    known = prompt if number else ()
    return round_pb2.SessionPoint(
        session_id=name,
        epoch=1,
        position=len(known),
        prefix_digest=prefix_digest(known),
        committed_ids=[FIRST_ID + number] if number else prompt,
    )


def _names(number: int, num_sessions: int) -> list[str]:
    return [f"probe-{number}-{session}" for session in range(num_sessions)]


def _releases(names: Sequence[str]) -> list[round_pb2.SessionRelease]:
    return [round_pb2.SessionRelease(session_id=name, epoch=1) for name in names]
