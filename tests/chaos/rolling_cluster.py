"""A cluster as the manifests in k8s/ describe it, on one machine: pods with their own addresses, names, a Service."""

import asyncio
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from redis.asyncio import Redis

from orchestrator.config import OrchestratorConfig
from paceline.local.process import Command
from tests.chaos.cluster import (
    LEASE_SECONDS,
    READY_SECONDS,
    SESSION_TTL_SECONDS,
    redis_node,
    socket_of,
)
from tests.chaos.deployment import BASE, Deployment, manifests_of
from tests.chaos.image import CURRENT, Image
from tests.chaos.models import write_pair
from tests.chaos.name_service import NameService
from tests.chaos.node import Node
from tests.chaos.pod import Pod, PodEnd
from tests.chaos.system import Names
from tests.chaos.topology import REDIS
from tests.chaos.virtual_service import VirtualService

MODULES = {"target": "target_service", "draft": "draft_service", "orchestrator": "orchestrator"}
POOLS = tuple(MODULES)
_ANY_ADDRESS = "0.0.0.0"
# Variables whose names have these parts go with files from Secrets, which only a cluster has: TLS and tenants.
_IN_SECRETS = ("_TLS_", "_TENANTS_")
# The last numbers of addresses: those of pods, from 1 on, stay below.
_FIRST_SERVICE_HOST = 200
_NUM_SERVICE_HOSTS = 50


@dataclass(frozen=True)
class RollingSettings:
    """What the cluster is made of.

    Attributes:
        overlay: The one of k8s/overlays, or the base.
        scale: How long waits are that only pass time, as a share of the manifests': minReadySeconds, preStop hooks,
            periods of probes, --handover-seconds, --discovery-seconds, and the age of names. Grace periods and timeouts
            are limits and stay as they are.
        name_age_seconds: How old an answer of DNS may be: the time to live of CoreDNS' answers, unless set otherwise.
        num_replicas: Pods of a pool where it is not the manifests' number.
        kv_cache_mib: KV cache of each target and draft; a token takes 128 bytes.
        session_idle_seconds: After which a target or a draft frees a cache that nobody uses.
    """

    overlay: str = BASE
    scale: float = 0.1
    name_age_seconds: float = 5.0
    num_replicas: Mapping[str, int] = field(default_factory=dict[str, int])
    kv_cache_mib: int = 2
    session_idle_seconds: float = 4.0


class RollingCluster:
    """Pods of the three programs and what leads to them; made by `rolling_cluster`.

    Attributes:
        deployments: What the manifests say of each pool, with its waits scaled.
        pods: Those that there are, the oldest first, until their processes have gone.
        failures: Processes that needed SIGKILL, ended by themselves or with another code than 0.
    """

    def __init__(self, settings: RollingSettings, directory: Path) -> None:
        manifests = manifests_of(settings.overlay)
        target_model, draft_model = write_pair(directory / "models")
        (directory / "redis").mkdir()
        self.directory = directory
        self.deployments = {
            pool: Deployment.of(f"paceline-{pool}", manifests).with_shorter_waits(settings.scale)
            for pool in POOLS
        }
        self.pods: dict[str, list[Pod]] = {pool: [] for pool in POOLS}
        self.failures: list[str] = []
        self.service = VirtualService(
            lambda: [pod.address for pod in self.pods["orchestrator"] if pod.is_endpoint]
        )
        self._settings = settings
        self._models = {"target": target_model, "draft": draft_model, "orchestrator": target_model}
        self._redis = redis_node(directory)
        self._names = NameService(directory / "hosts", settings.scale * settings.name_age_seconds)
        # Others may run the same test on this machine.
        self._network = f"127.{random.randint(1, 254)}.{random.randint(1, 254)}"
        self._num_hosts = 0
        self._num_pods = dict.fromkeys(POOLS, 0)

    @property
    def topology(self) -> Names:
        """The names of the pods that there are."""
        return Names(*(tuple(pod.name for pod in self.pods[pool]) for pool in POOLS))

    @property
    def nodes(self) -> dict[str, Node]:
        """The processes of the pods that there are, by name, and Redis."""
        return {REDIS: self._redis, **{pod.name: pod.node for pods in self.pods.values() for pod in pods}}

    @property
    def service_hosts(self) -> list[str]:
        """Addresses of the orchestrators' Service.

        There is one in a cluster, for clients in different processes; gRPC would give those of one process, which
        tests are, one connection to it.
        """
        return [f"{self._network}.{_FIRST_SERVICE_HOST + number}" for number in range(_NUM_SERVICE_HOSTS)]

    @property
    def orchestrator_addresses(self) -> list[str]:
        """Where clients find the orchestrators, whoever is behind it; each client has one of these."""
        port = self.deployments["orchestrator"].service_port
        return [f"{host}:{port}" for host in self.service_hosts]

    def redis(self) -> Any:
        """A client of Redis; untyped, because its types leave open what is bytes."""
        return Redis(unix_socket_path=str(socket_of(self.directory, REDIS)))

    def service_address(self, name: str) -> str:
        """HOST:PORT of a pod."""
        return next(pod.address for pods in self.pods.values() for pod in pods if pod.name == name)

    async def start(self, image: Image) -> None:
        """Start Redis and every pod, and wait until all are available."""
        async with asyncio.timeout(READY_SECONDS):
            await self._redis.start()
            await self._redis.until_ready()
            for pool in POOLS:
                num_replicas = self._settings.num_replicas.get(pool, self.deployments[pool].num_replicas)
                for _ in range(num_replicas):
                    await self.add(pool, image)
            for pod in [pod for pods in self.pods.values() for pod in pods]:
                await pod.until_available()

    async def add(self, pool: str, image: Image) -> Pod:
        """Start one more pod of a pool."""
        self._num_pods[pool] += 1
        self._num_hosts += 1
        assert self._num_hosts < _FIRST_SERVICE_HOST
        name, host = f"{pool}-{self._num_pods[pool]}", f"{self._network}.{self._num_hosts}"
        arguments = image.command(MODULES[pool])
        if pool == "orchestrator":
            arguments = self._names.before(arguments)
        environment = self._environment(pool, name, host) | image.environment
        pod = Pod(
            self.deployments[pool],
            host,
            Command(name, arguments, environment=environment),
            self.directory / f"{name}.log",
            self._publish,
        )
        self.pods[pool].append(pod)
        await pod.start()
        return pod

    async def end(self, pool: str, pod: Pod) -> PodEnd:
        """End a pod as its manifest says, and forget it."""
        try:
            return await pod.end()
        finally:
            self.failures += pod.node.failures
            self.pods[pool].remove(pod)
            self._publish()

    async def stop(self) -> None:
        """End everything, clients' side first."""
        for pool in reversed(POOLS):
            await asyncio.gather(*(pod.stop() for pod in self.pods[pool]))
        await self._redis.stop()
        self.failures += [failure for node in self.nodes.values() for failure in node.failures]
        await self._names.published()

    def _publish(self) -> None:
        """Let headless Services answer with the pods that there are."""
        self._names.publish(
            {
                deployment.name: [
                    pod.host for pod in self.pods[pool] if pod.is_endpoint or deployment.lists_unready
                ]
                for pool, deployment in self.deployments.items()
                if deployment.has_name_for_each
            }
        )

    def _environment(self, pool: str, name: str, host: str) -> dict[str, str]:
        """Return what the ConfigMaps say, but for the machine, the model, the scale, and what lies in Secrets."""
        environment = {
            variable: value.replace(_ANY_ADDRESS, host)
            for variable, value in self.deployments[pool].environment.items()
            if not any(part in variable for part in _IN_SECRETS)
        }
        options: dict[str, object] = {"REPLICA_ID": name, "MODEL": self._models[pool]}
        if pool == "orchestrator":
            discovery_seconds = OrchestratorConfig.model_fields["discovery_seconds"].default
            options |= {
                "REDIS_URL": f"unix://{socket_of(self.directory, REDIS)}",
                "LEASE_SECONDS": LEASE_SECONDS,
                "SESSION_TTL_SECONDS": SESSION_TTL_SECONDS,
                "DISCOVERY_SECONDS": self._scaled(environment, "DISCOVERY_SECONDS", discovery_seconds),
                "HANDOVER_SECONDS": self._scaled(environment, "HANDOVER_SECONDS"),
            }
        else:
            options |= {
                "KV_CACHE_MIB": self._settings.kv_cache_mib,
                "NUM_THREADS": 1,
                "SESSION_IDLE_SECONDS": self._settings.session_idle_seconds,
            }
        prefix = f"PACELINE_{pool.upper()}_"
        return environment | {f"{prefix}{option}": str(value) for option, value in options.items()}

    def _scaled(self, environment: Mapping[str, str], option: str, default: float | None = None) -> float:
        written = environment.get(f"PACELINE_ORCHESTRATOR_{option}", default)
        assert written is not None, f"no ConfigMap sets {option}"
        return self._settings.scale * float(written)


@asynccontextmanager
async def rolling_cluster(
    settings: RollingSettings, directory: Path, image: Image = CURRENT
) -> AsyncIterator[RollingCluster]:
    """Run a cluster inside the block; logs, models and Redis' files lie in the directory, whose path is short."""
    cluster = RollingCluster(settings, directory)
    port = cluster.deployments["orchestrator"].service_port
    try:
        await cluster.start(image)
        async with cluster.service.listening(cluster.service_hosts, port):
            yield cluster
    finally:
        await cluster.stop()
