"""The plan of faults: the same for a seed, of every kind, and never more than the cluster survives."""

from collections import Counter

import pytest

from tests.chaos.fault import KINDS, Action, Fault, FaultKind, Part
from tests.chaos.schedule import active_at, is_survivable, schedule
from tests.chaos.topology import Topology

FULL = Topology()


def test_a_seed_names_one_plan():
    assert schedule(1, 50, FULL) == schedule(1, 50, FULL) != schedule(2, 50, FULL)


def test_every_kind_comes_equally_often():
    counts = Counter(fault.kind for fault in schedule(3, 3 * len(KINDS), FULL))
    assert len(counts) >= 12
    assert counts == dict.fromkeys(KINDS, 3)


@pytest.mark.parametrize("topology", [FULL, Topology(2, 1, 1)])
@pytest.mark.parametrize("seed", range(5))
def test_whatever_is_active_at_once_leaves_a_way_to_a_target(seed: int, topology: Topology):
    faults = schedule(seed, 100, topology)
    assert [one.at_seconds for one in faults] == sorted(one.at_seconds for one in faults)
    for fault in faults:
        active = active_at(faults, fault.at_seconds)
        assert fault in active
        assert is_survivable(active, topology)


def test_losing_the_last_way_is_not_survivable():
    kill = FaultKind(Action.KILL, Part.TARGET)
    dead = [Fault(kill, target, 0.0, 1.0) for target in FULL.targets]
    assert is_survivable(dead[:2], FULL)
    assert not is_survivable(dead, FULL)
    cut = FaultKind(Action.PARTITION, Part.REDIS_LINK)
    assert not is_survivable(
        [
            Fault(cut, "orchestrator-0>redis", 0.0, 1.0),
            Fault(FaultKind(Action.RESET, Part.CLIENT_LINK), "clients>orchestrator-1", 0.0, 1.0),
        ],
        FULL,
    )


def test_nothing_is_hurt_twice_at_once():
    pause, kill = FaultKind(Action.PAUSE, Part.TARGET), FaultKind(Action.KILL, Part.TARGET)
    assert not is_survivable([Fault(pause, "target-0", 0.0, 3.0), Fault(kill, "target-0", 1.0, 1.0)], FULL)


def test_a_small_cluster_gets_no_fault_that_it_has_no_victim_for():
    kinds = {fault.kind for fault in schedule(1, 60, Topology(2, 0, 1))}
    assert {kind.part for kind in kinds}.isdisjoint({Part.DRAFT, Part.DRAFT_LINK, Part.ORCHESTRATOR})
    assert Action.DUPLICATE not in {kind.action for kind in kinds}
