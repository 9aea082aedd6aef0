"""The real servicers, further away: their streams of rounds take time each way."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import NamedTuple

import grpc.aio

from benchmarks.simulation.distance import delayed
from draft_service.servicer import DraftServicer
from draft_service.session import DraftSession
from paceline.serving.replica import Replica
from paceline.serving.round_watch import RoundWatch
from paceline.serving.session import Session
from paceline.serving.session_host import SessionHost
from paceline.telemetry.metrics import Metrics
from paceline.telemetry.setup import Telemetry
from paceline.v1 import draft_service_pb2, target_service_pb2
from target_service.servicer import TargetServicer


class WatchedReplica(NamedTuple):
    """A process, and who takes note of its rounds."""

    replica: Replica
    watch: RoundWatch

    @classmethod
    def named(cls, replica_id: str) -> "WatchedReplica":
        """Return one whose notes nobody reads, at the same cost."""
        return cls(Replica(replica_id), RoundWatch("simulated", Telemetry(Metrics())))


class DistantTargetServicer(TargetServicer):
    """TargetService with a distance; calls that are no rounds take no longer."""

    def __init__(self, host: SessionHost[Session], watched: WatchedReplica, one_way_seconds: float) -> None:
        super().__init__(host, *watched)
        self._one_way_seconds = one_way_seconds

    async def Verify(
        self,
        request_iterator: AsyncIterator[target_service_pb2.VerifyRequest],
        context: grpc.aio.ServicerContext,
    ) -> AsyncIterator[target_service_pb2.VerifyResponse]:
        """Verify rounds, a frame at a time."""
        requests = delayed(request_iterator, self._one_way_seconds)
        async with (
            aclosing(requests),
            aclosing(delayed(super().Verify(requests, context), self._one_way_seconds)) as frames,
        ):
            async for frame in frames:
                yield frame


class DistantDraftServicer(DraftServicer):
    """DraftService with a distance; calls that are no rounds take no longer."""

    def __init__(
        self, host: SessionHost[DraftSession], watched: WatchedReplica, one_way_seconds: float
    ) -> None:
        super().__init__(host, *watched)
        self._one_way_seconds = one_way_seconds

    async def Propose(
        self,
        request_iterator: AsyncIterator[draft_service_pb2.ProposeRequest],
        context: grpc.aio.ServicerContext,
    ) -> AsyncIterator[draft_service_pb2.ProposeResponse]:
        """Propose draft tokens, a frame at a time."""
        requests = delayed(request_iterator, self._one_way_seconds)
        async with (
            aclosing(requests),
            aclosing(delayed(super().Propose(requests, context), self._one_way_seconds)) as frames,
        ):
            async for frame in frames:
                yield frame
