"""A local cluster whose pools stand at the far ends of an emulated network."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from benchmarks.network.emulation import Emulation
from benchmarks.network.namespaces import entering
from benchmarks.network.places import Place
from paceline.local.cluster import LocalCluster
from paceline.local.plan import LOOPBACK, ClusterConfig, ClusterPlan, Service


class DistantCluster(LocalCluster):
    """As a local cluster, with each pool in its namespace; the orchestrator stays in that of this process."""

    def __init__(self, config: ClusterConfig, directory: Path, network: Emulation) -> None:
        super().__init__(config, directory)
        self._network = network

    def _plan(self, redis_url: str) -> ClusterPlan:
        return distant(super()._plan(redis_url), self._network.namespace_path)


def distant(plan: ClusterPlan, namespace_path: Callable[[Place], str]) -> ClusterPlan:
    """Return a plan with the pools' services moved to their places, everywhere that names their addresses."""
    moved = {
        service.address: service.address.replace(LOOPBACK, place.address)
        for place, services in ((Place.TARGET, plan.targets), (Place.DRAFT, plan.drafts))
        for service in services
    }
    return ClusterPlan(
        tuple(_moved(one, moved, entering(namespace_path(Place.TARGET))) for one in plan.targets),
        tuple(_moved(one, moved, entering(namespace_path(Place.DRAFT))) for one in plan.drafts),
        _moved(plan.orchestrator, moved, ()),
    )


def _moved(service: Service, moved: dict[str, str], prefix: tuple[str, ...]) -> Service:
    arguments = tuple(_with_addresses(argument, moved) for argument in service.command.arguments)
    command = replace(service.command, arguments=(*prefix, *arguments))
    return replace(service, command=command, address=moved.get(service.address, service.address))


def _with_addresses(argument: str, moved: dict[str, str]) -> str:
    return ",".join(moved.get(part, part) for part in argument.split(","))
