"""Services of an old and of the new release side by side, in every combination that a rolling update can bring."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redis.asyncio import Redis

from tests.chaos.cluster import (
    READY_SECONDS,
    ClusterSettings,
    orchestrator_flags,
    redis_node,
    replica_node,
    service_node,
    socket_of,
    unix_address,
)
from tests.chaos.image import CURRENT, Image
from tests.chaos.models import write_pair
from tests.chaos.node import Node
from tests.chaos.system import Names
from tests.chaos.topology import REDIS

# Name of an orchestrator: the releases of the replicas that it has.
REPLICAS_OF = {
    "orchestrator-new-over-old": ("old",),
    "orchestrator-old-over-new": ("new",),
    "orchestrator-new-over-both": ("old", "new"),
    "orchestrator-old-over-both": ("old", "new"),
}
SETTINGS = ClusterSettings(session_idle_seconds=4.0)


@dataclass(frozen=True)
class MixedCluster:
    """Nodes by name; the second part of a name is the release: `target-old`."""

    directory: Path
    nodes: Mapping[str, Node]

    @property
    def topology(self) -> Names:
        """The names of the services."""
        return Names(*(self._names(pool) for pool in ("target", "draft", "orchestrator")))

    @property
    def orchestrator_addresses(self) -> list[str]:
        """The addresses of all orchestrators."""
        return [self.service_address(name) for name in self.topology.orchestrators]

    def redis(self) -> Any:
        """A client of Redis; untyped, because its types leave open what is bytes."""
        return Redis(unix_socket_path=str(socket_of(self.directory, REDIS)))

    def service_address(self, name: str) -> str:
        """Address of a service."""
        return unix_address(socket_of(self.directory, name))

    def _names(self, pool: str) -> tuple[str, ...]:
        return tuple(name for name in self.nodes if name.startswith(pool))


def release_of(name: str) -> str:
    """Return the release of a service by its name."""
    return name.split("-")[1]


@asynccontextmanager
async def mixed_cluster(directory: Path, old: Image) -> AsyncIterator[MixedCluster]:
    """Run one of each beside the other inside the block; the directory's path is short enough for sockets."""
    target_model, draft_model = write_pair(directory / "models")
    (directory / "redis").mkdir()
    images = {"old": old, "new": CURRENT}
    nodes = {REDIS: redis_node(directory)}
    for pool, model in (("target", target_model), ("draft", draft_model)):
        for release, image in images.items():
            name = f"{pool}-{release}"
            nodes[name] = replica_node(SETTINGS, pool, name, model, socket_of(directory, name), image)
    for name, releases in REPLICAS_OF.items():
        targets, drafts = (
            [unix_address(socket_of(directory, f"{pool}-{release}")) for release in releases]
            for pool in ("target", "draft")
        )
        redis_url = f"unix://{socket_of(directory, REDIS)}"
        path = socket_of(directory, name)
        flags = orchestrator_flags(name, targets, drafts, redis_url, target_model, path)
        nodes[name] = service_node("orchestrator", name, flags, path, images[release_of(name)])
    cluster = MixedCluster(directory, nodes)
    try:
        async with asyncio.timeout(READY_SECONDS):
            for node in nodes.values():
                await node.start()
            for node in nodes.values():
                await node.until_ready()
        yield cluster
    finally:
        names = cluster.topology
        for pool in (names.orchestrators, names.drafts + names.targets, (REDIS,)):
            await asyncio.gather(*(nodes[name].stop() for name in pool))
