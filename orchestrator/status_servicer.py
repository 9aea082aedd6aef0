"""StatusService on the wire: what an orchestrator does, and how it sees the two pools."""

import asyncio
import time
from collections.abc import Mapping
from importlib.metadata import version

import grpc.aio

from orchestrator.errors import SessionStoreUnavailableError
from orchestrator.generation import Surroundings
from orchestrator.pair_record import PairRecord
from orchestrator.pool import DraftReplica, TargetReplica
from orchestrator.replica_pulse import EngineProgress
from paceline.client.generation import Drafter
from paceline.client.replica_state import MESSAGE_OF_STATE
from paceline.v1 import round_pb2, status_service_pb2_grpc
from paceline.v1 import status_service_pb2 as messages

_REDIS_PATIENCE_SECONDS = 0.5
# Places of a proposal whose acceptance is told.
_MAX_PLACES = 8


class StatusServicer(status_service_pb2_grpc.StatusServiceServicer):
    """Serves StatusService from what generations share; its uptime begins when it is made."""

    def __init__(self, surroundings: Surroundings, draining: asyncio.Event) -> None:
        self._surroundings = surroundings
        self._draining = draining
        self._started_at = time.monotonic()
        self._version = version("paceline")  # read from a file

    async def GetStatus(
        self, request: messages.GetStatusRequest, context: grpc.aio.ServicerContext
    ) -> messages.GetStatusResponse:
        """Describe the orchestrator and the pools."""
        return await self.status()

    async def status(self) -> messages.GetStatusResponse:
        """Return the same to whoever asks in this process."""
        redis_seconds = await self._ask_redis()
        here, now = self._surroundings, time.monotonic()
        can_go_ahead = here.config.max_ahead_tokens > 0
        return messages.GetStatusResponse(
            orchestrator=here.name,
            version=self._version,
            uptime_seconds=now - self._started_at,
            is_draining=self._draining.is_set(),
            num_running_sessions=here.watch.metrics.num_running,
            redis_seconds=redis_seconds,
            totals=here.watch.metrics.totals().to_message(),
            targets=[_target(one, now, can_go_ahead=can_go_ahead) for one in here.targets.replicas],
            drafts=[_draft(one, now) for one in here.drafts.replicas],
        )

    async def _ask_redis(self) -> float | None:
        """Return the seconds that Redis took to answer; None where it did not in time."""
        asked_at = time.monotonic()
        try:
            async with asyncio.timeout(_REDIS_PATIENCE_SECONDS):
                await self._surroundings.store.ping()
        except (SessionStoreUnavailableError, TimeoutError):
            return None
        return time.monotonic() - asked_at


def _target(replica: TargetReplica, now: float, *, can_go_ahead: bool) -> messages.TargetStatus:
    pace = replica.pace.verdicts
    return messages.TargetStatus(
        replica=_replica(replica, now, pace.hop.value if pace.hop.weight else None),
        pass_seconds=pace.curve(is_ahead=False).seconds(1) if pace.is_known else None,
        pairs=_pairs(replica.pace.pairs, can_go_ahead=can_go_ahead),
    )


def _draft(replica: DraftReplica, now: float) -> messages.DraftStatus:
    pace = replica.pace.proposals
    return messages.DraftStatus(
        replica=_replica(replica, now, pace.hop.value if pace.hop.weight else None),
        step_seconds=pace.step.value if pace.is_known else None,
    )


def _replica(
    replica: TargetReplica | DraftReplica, now: float, hop_seconds: float | None
) -> messages.ReplicaStatus:
    standing, owner, pulse = replica.standing, replica.owner, replica.pulse
    return messages.ReplicaStatus(
        address=replica.address,
        replica_id=owner.replica_id if owner is not None else "",
        state=MESSAGE_OF_STATE[standing.state],
        reason=standing.reason,
        num_sessions=replica.num_sessions,
        model=replica.description.model if replica.description is not None else None,
        progress=_progress(pulse.progress) if pulse.progress is not None else None,
        progress_age_seconds=now - pulse.told_at if pulse.told_at is not None else None,
        heard_seconds=now - pulse.heard_at if owner is not None else None,
        hop_seconds=hop_seconds,
    )


def _progress(progress: EngineProgress) -> round_pb2.Progress:
    return round_pb2.Progress(
        num_steps=progress.num_steps,
        longest_step_ns=round(1e9 * progress.longest_step_seconds),
        num_waiting=progress.num_waiting,
        num_available_blocks=progress.num_available_blocks,
        num_blocks=progress.num_blocks,
        num_running=progress.num_running,
    )


def _pairs(pairs: Mapping[str, PairRecord], *, can_go_ahead: bool) -> list[messages.PairStatus]:
    return [
        messages.PairStatus(
            drafter=drafter,
            acceptance=pair.acceptance.estimates(min(pair.acceptance.num_places, _MAX_PLACES)),
            is_ahead_on=can_go_ahead and drafter != Drafter.PROMPT_LOOKUP and pair.ahead.is_on,
        )
        for drafter, pair in pairs.items()
    ]
