"""One orchestrator as operators see it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from paceline.client.connection import PLAIN_TEXT, Connection, ConnectionSettings, connected
from paceline.client.orchestrator_totals import OrchestratorTotals
from paceline.client.replica_state import STATE_OF_MESSAGE, ReplicaState
from paceline.v1 import model_pb2, round_pb2
from paceline.v1 import status_service_pb2 as pb
from paceline.v1 import status_service_pb2_grpc as pb_grpc


@dataclass(frozen=True)
class HostedModel:
    """The model that a replica hosts."""

    name: str
    weights: str
    device: str


@dataclass(frozen=True)
class EngineStatus:
    """What a replica said of its engine `age_seconds` ago; see `paceline.v1.Progress`."""

    age_seconds: float
    num_steps: int
    num_running: int
    num_waiting: int
    num_available_blocks: int
    num_blocks: int


@dataclass(frozen=True)
class ReplicaStatus:
    """One replica as an orchestrator sees it; see `paceline.v1.ReplicaStatus`. None is what is not known."""

    address: str
    replica_id: str
    state: ReplicaState
    reason: str
    num_sessions: int
    model: HostedModel | None
    engine: EngineStatus | None
    heard_seconds: float | None
    hop_seconds: float | None


@dataclass(frozen=True)
class PairStatus:
    """What sessions have learned of a target with a drafter; see `paceline.v1.PairStatus`."""

    drafter: str
    acceptance: tuple[float, ...]
    is_ahead_on: bool


@dataclass(frozen=True)
class TargetStatus:
    """One target; `pass_seconds` is what a forward pass with one row takes."""

    replica: ReplicaStatus
    pass_seconds: float | None
    pairs: tuple[PairStatus, ...]


@dataclass(frozen=True)
class DraftStatus:
    """One draft; `step_seconds` is what a step takes."""

    replica: ReplicaStatus
    step_seconds: float | None


@dataclass(frozen=True)
class OrchestratorStatus:
    """One orchestrator; see `paceline.v1.GetStatusResponse`. `redis_seconds` is None where Redis does not answer."""

    orchestrator: str
    version: str
    uptime_seconds: float
    is_draining: bool
    num_running_sessions: int
    redis_seconds: float | None
    totals: OrchestratorTotals
    targets: tuple[TargetStatus, ...]
    drafts: tuple[DraftStatus, ...]


class StatusClient:
    """What one orchestrator tells of itself; made by `connect_to_status`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def get(self, timeout_seconds: float | None = None) -> OrchestratorStatus:
        """Return the status; raises CallFailedError, also where it takes longer than the timeout."""
        request = pb.GetStatusRequest()
        return _status(await self._connection.ask(self._stub.GetStatus, request, timeout_seconds))

    @property
    def _stub(self) -> "pb_grpc.StatusServiceAsyncStub":
        return self._connection.stub(pb_grpc.StatusServiceStub)


@asynccontextmanager
async def connect_to_status(
    address: str, settings: ConnectionSettings = PLAIN_TEXT
) -> AsyncIterator[StatusClient]:
    """Connect to the orchestrator at HOST:PORT inside a `with`; the first call finds out if it is there.

    Raises ConfigError over the settings.
    """
    async with connected(address, settings) as connection:
        yield StatusClient(connection)


def _status(message: pb.GetStatusResponse) -> OrchestratorStatus:
    return OrchestratorStatus(
        message.orchestrator,
        message.version,
        message.uptime_seconds,
        message.is_draining,
        message.num_running_sessions,
        message.redis_seconds if message.HasField("redis_seconds") else None,
        OrchestratorTotals.from_message(message.totals),
        tuple(map(_target, message.targets)),
        tuple(map(_draft, message.drafts)),
    )


def _target(message: pb.TargetStatus) -> TargetStatus:
    pairs = [PairStatus(one.drafter, tuple(one.acceptance), one.is_ahead_on) for one in message.pairs]
    pass_seconds = message.pass_seconds if message.HasField("pass_seconds") else None
    return TargetStatus(_replica(message.replica), pass_seconds, tuple(pairs))


def _draft(message: pb.DraftStatus) -> DraftStatus:
    step_seconds = message.step_seconds if message.HasField("step_seconds") else None
    return DraftStatus(_replica(message.replica), step_seconds)


def _replica(message: pb.ReplicaStatus) -> ReplicaStatus:
    return ReplicaStatus(
        message.address,
        message.replica_id,
        STATE_OF_MESSAGE.get(message.state, ReplicaState.UNKNOWN),
        message.reason,
        message.num_sessions,
        _model(message.model) if message.HasField("model") else None,
        _engine(message.progress, message.progress_age_seconds) if message.HasField("progress") else None,
        message.heard_seconds if message.HasField("heard_seconds") else None,
        message.hop_seconds if message.HasField("hop_seconds") else None,
    )


def _model(message: model_pb2.ModelInfo) -> HostedModel:
    return HostedModel(message.name, message.weights, message.device)


def _engine(message: round_pb2.Progress, age_seconds: float) -> EngineStatus:
    return EngineStatus(
        age_seconds,
        message.num_steps,
        message.num_running,
        message.num_waiting,
        message.num_available_blocks,
        message.num_blocks,
    )
