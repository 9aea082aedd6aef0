"""What replicas are like, as their process is told."""

from dataclasses import dataclass

from benchmarks.simulation.chain_model import ChainModel
from benchmarks.simulation.step_time import StepTime


@dataclass(frozen=True)
class PoolPlan:
    """Replicas of one pool.

    Attributes:
        model: What they choose.
        step_time: How long their passes take.
        one_way_seconds: How long a frame is on its way from or to the orchestrator, beside what it really takes.
        dilation: Real seconds that a second of the models takes; `one_way_seconds` is real already.
        max_sessions: Sessions that one replica has room for.
        max_context_tokens: Longest session.
        max_rows_per_step: Most rows of a pass.
    """

    model: ChainModel
    step_time: StepTime
    one_way_seconds: float = 0.0
    dilation: float = 1.0
    max_sessions: int = 64
    max_context_tokens: int = 1024
    max_rows_per_step: int = 64


@dataclass(frozen=True)
class ReplicaPlan:
    """The replicas of one process: so many targets and so many drafts."""

    target: PoolPlan
    draft: PoolPlan
    num_targets: int
    num_drafts: int
    cores: tuple[int, ...] = ()


@dataclass(frozen=True)
class ReplicaAddresses:
    """Where the replicas of one process listen."""

    targets: tuple[str, ...]
    drafts: tuple[str, ...]
