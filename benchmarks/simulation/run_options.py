"""How a simulation is run, which does not change what is simulated."""

from dataclasses import dataclass, field

from paceline.local.core_assignment import CoreAssignment


@dataclass(frozen=True)
class RunOptions:
    """Real seconds and real processes.

    Attributes:
        seconds: How long each load counts.
        warm_up_seconds: How long a load runs before it counts, after all its sessions have got tokens.
        patience_seconds: How long after the last start those tokens are waited for.
        starts_per_second: Sessions that start in a second while the load comes up; each start costs milliseconds.
        num_repeats: How often each load is run; target-only and speculative ones take turns.
        num_replica_processes, num_client_processes: Over which replicas and clients are spread.
        orchestrator_options: Options of `python -m orchestrator` in place of those that we give.
        cores: Which cores the parts run on.
    """

    seconds: float = 5.0
    warm_up_seconds: float = 1.0
    patience_seconds: float = 60.0
    starts_per_second: float = 100.0
    num_repeats: int = 1
    num_replica_processes: int = 2
    num_client_processes: int = 1
    orchestrator_options: dict[str, str] = field(default_factory=dict[str, str])
    cores: CoreAssignment = field(default_factory=CoreAssignment)
