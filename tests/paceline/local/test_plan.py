"""The command lines of a cluster."""

import sys
from pathlib import Path

from paceline.local.core_assignment import parse_cores
from paceline.local.plan import ClusterConfig, ModelChoice, num_ports, plan_cluster
from paceline.local.process import Command

TARGET = ModelChoice("big", "int8", Path("/models/big"))
DRAFT = ModelChoice("small", "int4", Path("/models/small"))


def flags(command: Command) -> dict[str, str]:
    assert command.arguments[:2] == (sys.executable, "-m")
    given = command.arguments[3:]
    return dict(zip(given[::2], given[1::2], strict=True))


def test_every_replica_has_its_own_address_and_the_orchestrator_knows_them_all() -> None:
    config = ClusterConfig(TARGET, DRAFT, num_target_replicas=2, num_draft_replicas=3)
    plan = plan_cluster(config, range(9000, 9000 + num_ports(config)), "redis://there")
    addresses = [service.address for service in (*plan.targets, *plan.drafts, plan.orchestrator)]
    assert len(set(addresses)) == 6
    orchestrator = flags(plan.orchestrator.command)
    assert orchestrator["--target-addresses"].split(",") == addresses[:2]
    assert orchestrator["--draft-addresses"].split(",") == addresses[2:5]
    assert "redis://there" not in orchestrator.values()
    assert plan.orchestrator.command.environment["PACELINE_ORCHESTRATOR_REDIS_URL"] == "redis://there"
    assert [flags(target.command)["--replica-id"] for target in plan.targets] == ["target-0", "target-1"]


def test_each_pool_gets_its_model_weights_and_cores() -> None:
    config = ClusterConfig(TARGET, DRAFT, cores=parse_cores("draft=0,target=1-2", range(4)))
    plan = plan_cluster(config, range(9000, 9003), "redis://there")
    target, draft = flags(plan.targets[0].command), flags(plan.drafts[0].command)
    assert (target["--model"], target["--weights"], target["--cores"]) == ("/models/big", "int8", "1,2")
    assert (draft["--model"], draft["--weights"], draft["--cores"]) == ("/models/small", "int4", "0")
    assert plan.targets[0].command.cores == {1, 2}


def test_what_is_not_chosen_is_left_to_the_programs() -> None:
    plan = plan_cluster(
        ClusterConfig(TARGET, DRAFT, num_draft_replicas=0), range(9000, 9002), "redis://there"
    )
    assert "--cores" not in flags(plan.targets[0].command)
    assert not {"--draft-addresses", "--num-draft-tokens"} & set(flags(plan.orchestrator.command))


def test_the_orchestrator_listens_where_it_is_told() -> None:
    config = ClusterConfig(TARGET, DRAFT, listen="127.0.0.1:7000")
    assert num_ports(config) == 2
    assert plan_cluster(config, range(9000, 9002), "redis://there").orchestrator.address == "127.0.0.1:7000"


def test_http_is_served_where_it_is_told_and_else_not_at_all() -> None:
    for address in (None, "127.0.0.1:8000"):
        plan = plan_cluster(
            ClusterConfig(TARGET, DRAFT, http_listen=address), range(9000, 9003), "redis://there"
        )
        assert flags(plan.orchestrator.command).get("--http-listen") == address


def test_what_computes_a_model_is_said_to_its_own_pool_alone() -> None:
    target = ModelChoice("big", "f16", Path("/models/big"), engine="torch", device="cuda:1")
    plan = plan_cluster(ClusterConfig(target, DRAFT), range(9000, 9003), "redis://there")
    given = flags(plan.targets[0].command)
    assert (given["--engine"], given["--device"]) == ("torch", "cuda:1")
    assert not {"--engine", "--device"} & {
        *flags(plan.drafts[0].command),
        *flags(plan.orchestrator.command),
    }
