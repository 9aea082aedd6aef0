"""Which processes a cluster is made of: plain data in, plain data out."""

import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from paceline.local.core_assignment import CoreAssignment, Cores, describe_cores, share_of
from paceline.local.process import Command

REDIS_URL_VARIABLE = "PACELINE_ORCHESTRATOR_REDIS_URL"
LOOPBACK = "127.0.0.1"
# Services end their rounds within this time of SIGTERM; the supervisor waits a little longer before it kills.
GRACE_SECONDS = 10.0
KILL_AFTER_SECONDS = 15.0
# From the orchestrator's; there is room for all replicas that a pool may have.
_METRICS_PORTS = {"orchestrator": 0, "target": 1, "draft": 101}


@dataclass(frozen=True)
class ModelChoice:
    """A prepared model, and what computes it.

    Attributes:
        name: For people.
        weights: Format of its weights.
        directory: What holds the model.
        engine: As the services' --engine has it; None leaves it to them.
        device: As their --device has it; None leaves it to them.
    """

    name: str
    weights: str
    directory: Path
    engine: str | None = None
    device: str | None = None


@dataclass(frozen=True)
class ClusterConfig:
    """What a local cluster should be like.

    Attributes:
        target: The model whose text clients get.
        draft: The model that proposes tokens.
        num_target_replicas: Processes that host the target, at least one.
        num_draft_replicas: Processes that host the draft; with 0 the target decodes alone.
        cores: Which cores the pools run on.
        listen: HOST:PORT of the orchestrator; None takes a free port of the loopback interface.
        http_listen: HOST:PORT of the orchestrator's HTTP gateway; None has none.
        redis_url: A Redis server to use; None starts an embedded one.
        num_draft_tokens: Draft tokens a round; None leaves it to the orchestrator.
        kv_cache_mib: KV cache of each model process, mebibytes; None leaves it to the services.
        metrics_port: Where the orchestrator serves Prometheus metrics on the loopback interface, targets from the next
            port on, drafts from 101 above. None serves none.
    """

    target: ModelChoice
    draft: ModelChoice
    num_target_replicas: int = 1
    num_draft_replicas: int = 1
    cores: CoreAssignment = field(default_factory=CoreAssignment)
    listen: str | None = None
    http_listen: str | None = None
    redis_url: str | None = None
    num_draft_tokens: int | None = None
    kv_cache_mib: int | None = None
    metrics_port: int | None = None

    def metrics_address(self, pool: str, replica: int = 0) -> str | None:
        """Return where a process serves metrics."""
        if self.metrics_port is None:
            return None
        return f"{LOOPBACK}:{self.metrics_port + _METRICS_PORTS[pool] + replica}"


@dataclass(frozen=True)
class Service:
    """A planned process that listens at `address`; `about` is the rest of its status line."""

    command: Command
    address: str
    about: str

    @property
    def name(self) -> str:
        """The name that status lines and errors use."""
        return self.command.name


@dataclass(frozen=True)
class ClusterPlan:
    """The processes of a cluster, in the order of their start."""

    targets: tuple[Service, ...]
    drafts: tuple[Service, ...]
    orchestrator: Service


def num_ports(config: ClusterConfig) -> int:
    """Return how many free ports a plan needs."""
    return config.num_target_replicas + config.num_draft_replicas + (config.listen is None)


def plan_cluster(config: ClusterConfig, ports: Iterable[int], redis_url: str) -> ClusterPlan:
    """Decide every command line of a cluster."""
    addresses = (f"{LOOPBACK}:{port}" for port in ports)
    targets = tuple(_replicas("target", config, config.num_target_replicas, addresses))
    drafts = tuple(_replicas("draft", config, config.num_draft_replicas, addresses))
    address = config.listen or next(addresses)
    orchestrator = Service(
        _orchestrator_command(config, address, targets, drafts, redis_url),
        address,
        _about(config.cores.orchestrator, "orchestrator"),
    )
    return ClusterPlan(targets, drafts, orchestrator)


def _replicas(
    pool: str, config: ClusterConfig, num_replicas: int, addresses: Iterator[str]
) -> Iterator[Service]:
    model, pool_cores = (
        (config.target, config.cores.target) if pool == "target" else (config.draft, config.cores.draft)
    )
    for replica in range(num_replicas):
        cores = share_of(pool_cores, replica, num_replicas)
        address = next(addresses)
        metrics_address = config.metrics_address(pool, replica)
        command = _replica_command(pool, replica, config, model, address, metrics_address, cores)
        yield Service(command, address, _about(cores, f"{model.name} {model.weights}"))


def _replica_command(
    pool: str,
    replica: int,
    config: ClusterConfig,
    model: ModelChoice,
    address: str,
    metrics_address: str | None,
    cores: Cores | None,
) -> Command:
    name = f"{pool}-{replica}"
    flags = {
        "--listen": address,
        "--model": str(model.directory),
        "--weights": model.weights,
        "--engine": model.engine,
        "--device": model.device,
        "--replica-id": name,
        "--cores": None if cores is None else ",".join(map(str, sorted(cores))),
        "--kv-cache-mib": config.kv_cache_mib,
        "--metrics-listen": metrics_address,
        "--grace-seconds": GRACE_SECONDS,
    }
    return Command(name, _python_module(f"{pool}_service", flags), cores)


def _orchestrator_command(
    config: ClusterConfig,
    address: str,
    targets: tuple[Service, ...],
    drafts: tuple[Service, ...],
    redis_url: str,
) -> Command:
    flags = {
        "--listen": address,
        "--http-listen": config.http_listen,
        "--target-addresses": ",".join(target.address for target in targets),
        "--draft-addresses": ",".join(draft.address for draft in drafts) or None,
        "--model": str(config.target.directory),
        "--weights": config.target.weights,
        "--speculation": "fixed" if config.num_draft_tokens is not None else None,
        "--num-draft-tokens": config.num_draft_tokens,
        "--metrics-listen": config.metrics_address("orchestrator"),
        "--grace-seconds": GRACE_SECONDS,
    }
    environment = {REDIS_URL_VARIABLE: redis_url}  # it may hold a password, and everyone sees arguments
    arguments = _python_module("orchestrator", flags)
    return Command("orchestrator", arguments, config.cores.orchestrator, environment)


def _python_module(module: str, flags: Mapping[str, object]) -> tuple[str, ...]:
    given = ((name, str(value)) for name, value in flags.items() if value is not None)
    return (sys.executable, "-m", module, *(part for flag in given for part in flag))


def _about(cores: Cores | None, what: str) -> str:
    return what if cores is None else f"{what}, cores {describe_cores(cores)}"
