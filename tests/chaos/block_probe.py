"""Finds leaked blocks of a KV cache through the contract: without any, a replica holds as much as it says."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import grpc.aio

from paceline.rounds import prefix_digest
from paceline.v1 import (
    draft_service_pb2,
    draft_service_pb2_grpc,
    model_pb2,
    round_pb2,
    target_service_pb2,
    target_service_pb2_grpc,
)

_EPOCH = 1
_NUM_TEXT_IDS = 256
_NUM_DRAWN = 2  # ids that the replica may add to each


class Room(NamedTuple):
    """How many sessions fill the cache exactly by the replica's own word, and how many of them it held at once."""

    num_promised: int
    num_held: int


@dataclass(frozen=True)
class _Probe:
    """A session of the probe."""

    session_id: str
    ids: list[int]

    def point(self, position: int) -> round_pb2.SessionPoint:
        return round_pb2.SessionPoint(
            session_id=self.session_id,
            epoch=_EPOCH,
            position=position,
            prefix_digest=prefix_digest(self.ids[:position]),
            committed_ids=self.ids[position:],
        )


async def room(address: str, pool: str) -> Room:
    """Fill a replica of a pool to the brim, ask every session again, and release them all."""
    async with grpc.aio.insecure_channel(address) as channel:
        replica = _Target(channel) if pool == "target" else _Draft(channel)
        model = await replica.model()
        probes = [_probe(number, num_tokens) for number, num_tokens in enumerate(lengths(model))]
        try:
            errors = await replica.play([probe.point(0) for probe in probes])
            # Whatever had to give way to another session is not there any more.
            errors += await replica.play([probe.point(len(probe.ids) - 1) for probe in probes])
        finally:
            await replica.release([probe.session_id for probe in probes])
    return Room(len(probes), len(probes) - len(set(errors)))


def lengths(model: model_pb2.ModelInfo) -> list[int]:
    """Return how many tokens each session is to hold: its context, and the last one what is left of the cache."""
    num_full, rest = divmod(model.kv_capacity_tokens, model.max_context_tokens)
    return [model.max_context_tokens] * num_full + ([rest] if rest > _NUM_DRAWN + 1 else [])


def _probe(number: int, num_tokens: int) -> _Probe:
    # The first id differs, so that no two sessions share a block.
    places = range(num_tokens - _NUM_DRAWN - 1)
    return _Probe(f"probe-{number}", [number, *((7 * number + place) % _NUM_TEXT_IDS for place in places)])


class _Target:
    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = target_service_pb2_grpc.TargetServiceStub(channel)

    async def model(self) -> model_pb2.ModelInfo:
        return (await self._stub.GetModel(target_service_pb2.TargetServiceGetModelRequest())).model

    async def play(self, points: Sequence[round_pb2.SessionPoint]) -> list[str]:
        rounds = [target_service_pb2.VerifyRound(point=one) for one in points]
        return await _failed(
            self._stub.Verify(), target_service_pb2.VerifyRequest(rounds=rounds), len(points)
        )

    async def release(self, session_ids: Sequence[str]) -> None:
        request = target_service_pb2.TargetServiceReleaseSessionsRequest(sessions=_releases(session_ids))
        await self._stub.ReleaseSessions(request)


class _Draft:
    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = draft_service_pb2_grpc.DraftServiceStub(channel)

    async def model(self) -> model_pb2.ModelInfo:
        return (await self._stub.GetModel(draft_service_pb2.DraftServiceGetModelRequest())).model

    async def play(self, points: Sequence[round_pb2.SessionPoint]) -> list[str]:
        requests = [draft_service_pb2.ProposalRequest(point=one) for one in points]
        frame = draft_service_pb2.ProposeRequest(requests=requests)
        return await _failed(self._stub.Propose(), frame, len(points))

    async def release(self, session_ids: Sequence[str]) -> None:
        request = draft_service_pb2.DraftServiceReleaseSessionsRequest(sessions=_releases(session_ids))
        await self._stub.ReleaseSessions(request)


def _releases(session_ids: Sequence[str]) -> list[round_pb2.SessionRelease]:
    return [round_pb2.SessionRelease(session_id=one, epoch=_EPOCH) for one in session_ids]


async def _failed(call: Any, frame: Any, num_rounds: int) -> list[str]:
    """Send one frame and return the sessions whose round was refused."""
    await call.write(frame)
    failed: list[str] = []
    num_answered = 0
    while num_answered < num_rounds:
        answer = await call.read()
        failed += [result.session_id for result in answer.results if result.HasField("error")]
        num_answered += len(answer.results)
    await call.done_writing()
    return failed
