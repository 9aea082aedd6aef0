"""Replicas without a model that answer a whole frame of rounds at once, for measuring what is around the models.

What comes next depends on the position alone, so that a round costs a replica some microseconds, and the text does
not depend on the draft, as with a real pair.
"""

import asyncio
import sys
import time
from collections.abc import AsyncIterator

import grpc.aio

from paceline.v1 import (
    draft_service_pb2,
    draft_service_pb2_grpc,
    model_pb2,
    round_pb2,
    target_service_pb2,
    target_service_pb2_grpc,
)

NUM_TEXT_IDS = 256
_VOCABULARY_SIZE = 264
_MAX_CONTEXT_TOKENS = 8192
_RIGHT_OF_10 = 8  # of ten draft ids


def next_id(position: int) -> int:
    """The id at a position."""
    return (7 * position + 3) % NUM_TEXT_IDS


def guess(position: int) -> int:
    """What the draft takes for it."""
    is_right = position * 2654435761 % 4096 % 10 < _RIGHT_OF_10
    return next_id(position) if is_right else (next_id(position) + 1) % NUM_TEXT_IDS


class InstantTarget(target_service_pb2_grpc.TargetServiceServicer):
    def __init__(self, vocabulary_sha256: str) -> None:
        self._model = _model(vocabulary_sha256)

    async def GetModel(
        self, request: target_service_pb2.TargetServiceGetModelRequest, context: grpc.aio.ServicerContext
    ) -> target_service_pb2.TargetServiceGetModelResponse:
        return target_service_pb2.TargetServiceGetModelResponse(model=self._model, replica=_replica("target"))

    async def Verify(
        self,
        request_iterator: AsyncIterator[target_service_pb2.VerifyRequest],
        context: grpc.aio.ServicerContext,
    ) -> AsyncIterator[target_service_pb2.VerifyResponse]:
        async for frame in request_iterator:
            yield target_service_pb2.VerifyResponse(results=map(_verdict, frame.rounds))

    async def ReleaseSessions(
        self,
        request: target_service_pb2.TargetServiceReleaseSessionsRequest,
        context: grpc.aio.ServicerContext,
    ) -> target_service_pb2.TargetServiceReleaseSessionsResponse:
        return target_service_pb2.TargetServiceReleaseSessionsResponse()


class InstantDraft(draft_service_pb2_grpc.DraftServiceServicer):
    def __init__(self, vocabulary_sha256: str) -> None:
        self._model = _model(vocabulary_sha256)

    async def GetModel(
        self, request: draft_service_pb2.DraftServiceGetModelRequest, context: grpc.aio.ServicerContext
    ) -> draft_service_pb2.DraftServiceGetModelResponse:
        return draft_service_pb2.DraftServiceGetModelResponse(model=self._model, replica=_replica("draft"))

    async def Propose(
        self,
        request_iterator: AsyncIterator[draft_service_pb2.ProposeRequest],
        context: grpc.aio.ServicerContext,
    ) -> AsyncIterator[draft_service_pb2.ProposeResponse]:
        async for frame in request_iterator:
            yield draft_service_pb2.ProposeResponse(results=map(_proposal, frame.requests))

    async def ReleaseSessions(
        self, request: draft_service_pb2.DraftServiceReleaseSessionsRequest, context: grpc.aio.ServicerContext
    ) -> draft_service_pb2.DraftServiceReleaseSessionsResponse:
        return draft_service_pb2.DraftServiceReleaseSessionsResponse()


def _verdict(round_: target_service_pb2.VerifyRound) -> target_service_pb2.VerifyResult:
    started_ns = time.monotonic_ns()
    position = round_.point.position + len(round_.point.committed_ids)
    num_accepted = 0
    for draft_id in round_.draft_ids:
        if draft_id != next_id(position + num_accepted):
            break
        num_accepted += 1
    own_ids = (next_id(position + num_accepted),)
    return target_service_pb2.VerifyResult(
        session_id=round_.point.session_id,
        round=round_.round,
        verdict=target_service_pb2.Verdict(
            num_accepted=num_accepted, own_ids=own_ids, timing=_timing_since(started_ns)
        ),
    )


def _proposal(request: draft_service_pb2.ProposalRequest) -> draft_service_pb2.ProposalResult:
    started_ns = time.monotonic_ns()
    position = request.point.position + len(request.point.committed_ids)
    draft_ids = [guess(place) for place in range(position, position + request.num_draft_tokens)]
    return draft_service_pb2.ProposalResult(
        session_id=request.point.session_id,
        round=request.round,
        proposal=draft_service_pb2.Proposal(draft_ids=draft_ids, timing=_timing_since(started_ns)),
    )


def _timing_since(started_ns: int) -> round_pb2.RoundTiming:
    return round_pb2.RoundTiming(compute_ns=time.monotonic_ns() - started_ns, num_steps=1, batch_rows=1)


def _model(vocabulary_sha256: str) -> model_pb2.ModelInfo:
    return model_pb2.ModelInfo(
        name="instant",
        vocabulary_size=_VOCABULARY_SIZE,
        vocabulary_sha256=vocabulary_sha256,
        max_context_tokens=_MAX_CONTEXT_TOKENS,
        numerics_digest="same",
    )


def _replica(name: str) -> model_pb2.ReplicaInfo:
    return model_pb2.ReplicaInfo(replica_id=name, incarnation="1")


async def serve_replica(kind: str, vocabulary_sha256: str) -> None:
    """Serve one replica, print its address, and end with stdin."""
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    if kind == "target":
        servicer = InstantTarget(vocabulary_sha256)
        target_service_pb2_grpc.add_TargetServiceServicer_to_server(servicer, server)
    else:
        servicer = InstantDraft(vocabulary_sha256)
        draft_service_pb2_grpc.add_DraftServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(f"127.0.0.1:{port}", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await server.stop(None)
