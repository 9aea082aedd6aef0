"""A cluster whose every process stands on a host of its own, and finds the others by name."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc.aio
from redis.asyncio import Redis

from paceline.v1 import orchestrator_service_pb2 as pb
from paceline.v1.orchestrator_service_pb2_grpc import OrchestratorServiceStub
from tests.chaos.aftermath import stored_state
from tests.chaos.cluster import (
    LEASE_SECONDS,
    READY_SECONDS,
    SESSION_TTL_SECONDS,
    redis_node,
    service_node,
    socket_of,
    unix_address,
)
from tests.chaos.models import write_pair
from tests.chaos.node import Node
from tests.chaos.topology import CLIENTS, REDIS, Topology
from tests.hosts.client import HostClient, host_client
from tests.hosts.ledger import Ledger, ledger_of
from tests.hosts.network import HostNetwork, NetworkPlan, host_network

SPARE = "target-2"  # a host that has no process at first
NAMES = "names"
TARGETS_NAME, DRAFTS_NAME = "targets.paceline.test", "drafts.paceline.test"
FIRST_ADDRESS = 11
REDIS_PORT = 6379
PORTS = {"target": 50052, "draft": 50051, "orchestrator": 50050}
EVERYWHERE = "0.0.0.0"
POLL_SECONDS = 0.05
TOPOLOGY = Topology(num_targets=2, num_drafts=1, num_orchestrators=2)
SESSION_IDLE_SECONDS = 2.0
# Long enough that a lease runs out while an orchestrator still waits for Redis.
REDIS_PATIENCE_SECONDS = 2 * LEASE_SECONDS


class HostCluster:
    """A running cluster; the test reaches every process through a back door, whatever is cut.

    Attributes:
        hosts: The network.
        client: The client that the project ships.
        ledger: Who wrote what to Redis.
    """

    def __init__(
        self,
        directory: Path,
        nodes: Mapping[str, Node],
        hosts: HostNetwork,
        client: HostClient,
        ledger: Ledger,
    ) -> None:
        self.topology = TOPOLOGY
        self.directory = directory
        self.nodes = nodes
        self.hosts = hosts
        self.client = client
        self.ledger = ledger

    @property
    def orchestrator_addresses(self) -> list[str]:
        """Where the test itself finds the orchestrators."""
        return [self.service_address(one) for one in self.topology.orchestrators]

    def redis(self) -> Any:
        """A client of Redis that goes through no network; untyped, because its types leave open what is bytes."""
        return Redis(unix_socket_path=str(socket_of(self.directory, REDIS)))

    def service_address(self, name: str) -> str:
        """Address of a service that goes through no network."""
        return unix_address(socket_of(self.directory, name))

    @asynccontextmanager
    async def joined(self, name: str) -> AsyncIterator[None]:
        """Have a target more, published when it serves and at the end no more, before it ends."""
        node = self.nodes[name]
        await node.start()
        try:
            async with asyncio.timeout(READY_SECONDS):
                await node.until_ready()
            await self.publish(*self.topology.targets, name)
            yield
            await self.publish(*self.topology.targets)
        finally:
            await node.stop()

    async def publish(self, *targets: str) -> None:
        """Have the name of the targets stand for these hosts."""
        await self.hosts.name(TARGETS_NAME, targets)

    async def orchestrator_of(self, session_id: str) -> str:
        """Return the orchestrator that owns, or last owned, a session."""
        process = (await stored_state(self, session_id))["orchestrator"].decode()
        return process.rpartition("-")[0]

    async def until_known(self, *targets: str) -> None:
        """Wait until every orchestrator is connected to these targets and no others."""
        for address in self.orchestrator_addresses:
            async with grpc.aio.insecure_channel(address) as channel:
                while await known_targets(channel) != set(targets):  # noqa: ASYNC110, it is another process
                    await asyncio.sleep(POLL_SECONDS)

    async def until_dropped(self, target: str, orchestrator: str) -> None:
        """Wait until an orchestrator no longer looks for a target that DNS has forgotten."""
        address = f"{self.hosts.address(target)}:{PORTS['target']}"
        wanted = ('"event": "replica_dropped"', f'"address": "{address}"')
        while not any(all(part in line for part in wanted) for line in log_lines(self.nodes[orchestrator])):  # noqa: ASYNC110
            await asyncio.sleep(POLL_SECONDS)


async def known_targets(channel: grpc.aio.Channel) -> set[str]:
    try:
        model = await OrchestratorServiceStub(channel).GetModel(pb.OrchestratorServiceGetModelRequest())
    except grpc.aio.AioRpcError:
        return set()
    return {replica.replica_id for replica in model.target_replicas}


def log_lines(node: Node) -> list[str]:
    return node.log_path.read_text(errors="replace").splitlines()


@asynccontextmanager
async def host_cluster(directory: Path) -> AsyncIterator[HostCluster]:
    """Run a cluster inside the block; logs, models and Redis' files lie in the directory, whose path must be short."""
    target_model, draft_model = write_pair(directory / "models")
    (directory / "redis").mkdir()
    plan = network_plan(directory)
    async with AsyncExitStack() as stack:
        hosts = await stack.enter_async_context(host_network(plan, directory))
        await publish_all(hosts)
        nodes = {REDIS: redis_on_host(directory, hosts)}
        for name in (*TOPOLOGY.targets, SPARE):
            nodes[name] = replica_on_host("target", name, target_model, directory, hosts)
        for name in TOPOLOGY.drafts:
            nodes[name] = replica_on_host("draft", name, draft_model, directory, hosts)
        for name in TOPOLOGY.orchestrators:
            nodes[name] = orchestrator_on_host(name, target_model, directory, hosts)
        stack.push_async_callback(stop_all, nodes)
        started = [node for name, node in nodes.items() if name != SPARE]
        for node in started:
            await node.start()
        async with asyncio.timeout(READY_SECONDS):
            for node in started:
                await node.until_ready()
        names = [f"{host_name(one)}:{PORTS['orchestrator']}" for one in TOPOLOGY.orchestrators]
        client = await stack.enter_async_context(
            host_client(hosts.entering(CLIENTS), names, directory / "client.log")
        )
        ledger = await stack.enter_async_context(
            ledger_of(socket_of(directory, REDIS), {hosts.address(host): host for host in hosts.hosts})
        )
        cluster = HostCluster(directory, nodes, hosts, client, ledger)
        await cluster.until_known(*TOPOLOGY.targets)
        yield cluster


async def stop_all(nodes: Mapping[str, Node]) -> None:
    """Ask every process to end, clients' side first."""
    for names in (TOPOLOGY.orchestrators, (*TOPOLOGY.drafts, *TOPOLOGY.targets, SPARE), (REDIS,)):
        await asyncio.gather(*(nodes[name].stop() for name in names))


def network_plan(directory: Path) -> NetworkPlan:
    services = (*TOPOLOGY.targets, SPARE, *TOPOLOGY.drafts, *TOPOLOGY.orchestrators)
    hosts = (NAMES, REDIS, CLIENTS, *services)
    return NetworkPlan(
        # Of TEST-NET-1, RFC 5737: nothing outside the namespaces has them.
        {host: f"192.0.2.{number}" for number, host in enumerate(hosts, FIRST_ADDRESS)},
        NAMES,
        {name: (socket_of(directory, name), PORTS[pool_of(name)]) for name in services},
    )


async def publish_all(hosts: HostNetwork) -> None:
    for host in hosts.hosts:
        await hosts.name(host_name(host), [host])
    await hosts.name(TARGETS_NAME, TOPOLOGY.targets)
    await hosts.name(DRAFTS_NAME, TOPOLOGY.drafts)


def redis_on_host(directory: Path, hosts: HostNetwork) -> Node:
    node = redis_node(directory)
    on_network = ("--bind", EVERYWHERE, "--port", str(REDIS_PORT), "--protected-mode", "no")
    return on_host(node, hosts, *on_network)


def replica_on_host(pool: str, name: str, model: Path, directory: Path, hosts: HostNetwork) -> Node:
    flags = {
        "--listen": f"{EVERYWHERE}:{PORTS[pool]}",
        "--model": model,
        "--replica-id": name,
        "--kv-cache-mib": 2,
        "--session-idle-seconds": SESSION_IDLE_SECONDS,
        "--num-threads": 1,
        "--grace-seconds": 5,
    }
    return on_host(service_node(f"{pool}_service", name, flags, socket_of(directory, name)), hosts)


def orchestrator_on_host(name: str, model: Path, directory: Path, hosts: HostNetwork) -> Node:
    flags = {
        "--listen": f"{EVERYWHERE}:{PORTS['orchestrator']}",
        "--replica-id": name,
        "--target-addresses": f"dns:{TARGETS_NAME}:{PORTS['target']}",
        "--draft-addresses": f"dns:{DRAFTS_NAME}:{PORTS['draft']}",
        "--discovery-seconds": 0.5,
        "--redis-url": f"redis://{host_name(REDIS)}:{REDIS_PORT}",
        "--redis-patience-seconds": REDIS_PATIENCE_SECONDS,
        "--model": model,
        "--lease-seconds": LEASE_SECONDS,
        "--session-ttl-seconds": SESSION_TTL_SECONDS,
        "--handover-seconds": 1,
        "--grace-seconds": 5,
    }
    return on_host(service_node("orchestrator", name, flags, socket_of(directory, name)), hosts)


def on_host(node: Node, hosts: HostNetwork, *options: str) -> Node:
    """Have a node's process run on the host of its name, with further options."""
    arguments = (*hosts.entering(node.name), *node.command.arguments, *options)
    node.command = replace(node.command, arguments=arguments)
    return node


def host_name(host: str) -> str:
    return f"{host}.paceline.test"


def pool_of(name: str) -> str:
    return name.rpartition("-")[0]
