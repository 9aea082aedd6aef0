"""A cluster of real processes whose every link goes through the network that can break it."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from paceline.local.health import is_serving
from paceline.local.process import Command
from paceline.local.redis_server import server_arguments
from tests.chaos.image import CURRENT, Image
from tests.chaos.models import write_pair
from tests.chaos.network import Network, network
from tests.chaos.network_process import LIAR
from tests.chaos.node import Node
from tests.chaos.topology import CLIENTS, REDIS, Topology, link

READY_SECONDS = 120.0
LEASE_SECONDS = 2.0
SESSION_TTL_SECONDS = 600


@dataclass(frozen=True)
class ClusterSettings:
    """What the cluster is made of.

    Attributes:
        topology: How many of each.
        has_append_only_file: Whether Redis finds its keys again after a kill; each write is then on disk before it
            is acknowledged.
        has_liar: Whether the draft pool has the address of the lying draft too.
        kv_cache_mib: KV cache of each target and draft; a token takes 128 bytes.
        session_idle_seconds: After which a target or a draft frees a cache that nobody uses.
        orchestrator_options: Further options of the orchestrators, by flag.
    """

    topology: Topology = field(default_factory=Topology)
    has_append_only_file: bool = True
    has_liar: bool = True
    kv_cache_mib: int = 2
    session_idle_seconds: float = 10.0
    orchestrator_options: Mapping[str, object] = field(default_factory=dict[str, object])


class ChaosCluster:
    """A running cluster: nodes by name, and the links between them."""

    def __init__(
        self, settings: ClusterSettings, directory: Path, nodes: Mapping[str, Node], network: Network
    ) -> None:
        self.settings = settings
        self.topology = settings.topology
        self.directory = directory
        self.nodes = nodes
        self.network = network

    @property
    def orchestrator_addresses(self) -> list[str]:
        """Where clients find the orchestrators."""
        return [self.network.address(link(CLIENTS, one)) for one in self.topology.orchestrators]

    def redis(self) -> Any:
        """A client of Redis that goes through no link; untyped, because its types leave open what is bytes."""
        return Redis(unix_socket_path=str(socket_of(self.directory, REDIS)))

    def service_address(self, name: str) -> str:
        """Address of a service that goes through no link."""
        return unix_address(socket_of(self.directory, name))

    async def until_ready(self) -> None:
        """Wait until every node serves."""
        async with asyncio.timeout(READY_SECONDS):
            for node in self.nodes.values():
                await node.until_ready()


@asynccontextmanager
async def chaos_cluster(settings: ClusterSettings, directory: Path) -> AsyncIterator[ChaosCluster]:
    """Run a cluster inside the block; logs, models and Redis' files lie in the directory.

    The path must be short enough for sockets. At the end every process is asked to end, clients' side first.
    """
    target_model, draft_model = write_pair(directory / "models")
    (directory / "redis").mkdir()
    names = (REDIS, *settings.topology.targets, *settings.topology.drafts, *settings.topology.orchestrators)
    sockets = {name: socket_of(directory, name) for name in names}
    destinations = {name: sockets[name.partition(">")[2]] for name in settings.topology.links}
    async with network(destinations, directory / "network.log") as links:
        nodes = {REDIS: redis_node(directory, has_append_only_file=settings.has_append_only_file)}
        for pool, members, model in (
            ("target", settings.topology.targets, target_model),
            ("draft", settings.topology.drafts, draft_model),
        ):
            for name in members:
                nodes[name] = replica_node(settings, pool, name, model, sockets[name])
        for name in settings.topology.orchestrators:
            nodes[name] = orchestrator_node(settings, name, links, target_model, sockets[name])
        cluster = ChaosCluster(settings, directory, nodes, links)
        try:
            for node in nodes.values():
                await node.start()
            await cluster.until_ready()
            yield cluster
        finally:
            for pool in (
                settings.topology.orchestrators,
                settings.topology.drafts + settings.topology.targets,
                (REDIS,),
            ):
                await asyncio.gather(*(nodes[name].stop() for name in pool))


def redis_node(directory: Path, *, has_append_only_file: bool = True) -> Node:
    """Redis, whose files go to the folder `redis` of a directory."""
    path = socket_of(directory, REDIS)
    arguments = [*server_arguments(directory / "redis", path), "--appendfsync", "always"]
    if not has_append_only_file:
        arguments += ["--appendonly", "no"]
    command = Command(REDIS, tuple(arguments))
    return Node(command, directory / "redis.log", partial(answers_ping, path))


def replica_node(
    settings: ClusterSettings, pool: str, name: str, model: Path, socket_path: Path, image: Image = CURRENT
) -> Node:
    flags = {
        "--listen": unix_address(socket_path),
        "--model": model,
        "--replica-id": name,
        "--kv-cache-mib": settings.kv_cache_mib,
        "--session-idle-seconds": settings.session_idle_seconds,
        "--num-threads": 1,
        "--grace-seconds": 5,
    }
    return service_node(f"{pool}_service", name, flags, socket_path, image)


def orchestrator_node(
    settings: ClusterSettings, name: str, links: Network, model: Path, socket_path: Path
) -> Node:
    topology = settings.topology
    drafts = [links.address(link(name, one)) for one in topology.drafts]
    if settings.has_liar:
        drafts.append(links.address(LIAR))
    flags = orchestrator_flags(
        name,
        [links.address(link(name, one)) for one in topology.targets],
        drafts,
        f"redis://{links.address(link(name, REDIS))}",
        model,
        socket_path,
    )
    flags |= settings.orchestrator_options
    return service_node("orchestrator", name, flags, socket_path)


def orchestrator_flags(
    name: str, targets: Sequence[str], drafts: Sequence[str], redis_url: str, model: Path, socket_path: Path
) -> dict[str, object]:
    """Return the options of an orchestrator over replicas at addresses."""
    return {
        "--listen": unix_address(socket_path),
        "--replica-id": name,
        "--target-addresses": ",".join(targets),
        "--draft-addresses": ",".join(drafts) or None,
        "--redis-url": redis_url,
        "--model": model,
        "--lease-seconds": LEASE_SECONDS,
        "--session-ttl-seconds": SESSION_TTL_SECONDS,
        "--handover-seconds": 1,
        "--grace-seconds": 5,
    }


def service_node(
    module: str, name: str, flags: Mapping[str, object], socket_path: Path, image: Image = CURRENT
) -> Node:
    """Return the node of a program; options that are None are left out."""
    given = [part for flag, value in flags.items() if value is not None for part in (flag, str(value))]
    command = Command(name, (*image.command(module), *given), environment=image.environment)
    log_path = socket_path.with_suffix(".log")
    return Node(command, log_path, partial(is_serving, unix_address(socket_path)))


async def answers_ping(socket_path: Path) -> bool:
    """Whether a Redis serves there; one that still reads its files does not."""
    async with Redis(unix_socket_path=str(socket_path), socket_timeout=2.0) as redis:
        try:
            return bool(await redis.ping())  # pyright: ignore[reportGeneralTypeIssues]
        except (RedisError, OSError):
            return False


def socket_of(directory: Path, name: str) -> Path:
    return directory / f"{name}.sock"


def unix_address(socket_path: Path) -> str:
    return f"unix:{socket_path}"
