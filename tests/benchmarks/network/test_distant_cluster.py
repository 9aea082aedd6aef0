"""The plan of a cluster whose pools are far away."""

from pathlib import Path

from benchmarks.network.distant_cluster import distant
from benchmarks.network.places import Place
from paceline.local.plan import ClusterConfig, ModelChoice, plan_cluster


def test_pools_enter_their_namespaces_and_are_known_by_their_addresses_there() -> None:
    config = ClusterConfig(
        ModelChoice("big", "int8", Path("big")),
        ModelChoice("small", "int4", Path("small")),
        num_target_replicas=2,
    )
    plan = distant(plan_cluster(config, (1, 2, 3, 4), "unix:///redis"), lambda place: f"/ns/{place.name}")
    assert [service.address for service in plan.targets] == ["198.18.0.2:1", "198.18.0.2:2"]
    assert plan.drafts[0].address == "198.18.0.3:3"
    assert plan.targets[0].command.arguments[:2] == ("nsenter", "--net=/ns/TARGET")
    assert plan.drafts[0].command.arguments[:2] == ("nsenter", "--net=/ns/DRAFT")
    assert "198.18.0.2:1" in plan.targets[0].command.arguments


def test_the_orchestrator_stays_and_asks_the_pools_where_they_are() -> None:
    config = ClusterConfig(
        ModelChoice("big", "int8", Path("big")), ModelChoice("small", "int4", Path("small"))
    )
    plan = distant(plan_cluster(config, (1, 2, 3), "unix:///redis"), lambda place: place.name)
    arguments = plan.orchestrator.command.arguments
    assert plan.orchestrator.address == "127.0.0.1:3"
    assert arguments[arguments.index("--target-addresses") + 1] == f"{Place.TARGET.address}:1"
    assert arguments[arguments.index("--draft-addresses") + 1] == f"{Place.DRAFT.address}:2"
    assert "nsenter" not in arguments
