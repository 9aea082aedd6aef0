"""What a target's sessions share with a drafter."""

import pytest

from orchestrator.replica_pace import ReplicaPace
from paceline.serving.placement import Placement

HERE = Placement("machine", frozenset({0, 1}))


@pytest.mark.parametrize(
    ("placement", "goes_ahead"),
    [
        (Placement("machine", frozenset({1, 2})), False),
        (Placement("machine", frozenset({2, 3})), True),
        (Placement("another", frozenset({0, 1})), True),
        (None, True),
    ],
)
def test_a_draft_goes_ahead_from_the_start_unless_it_shares_cores_with_the_target(placement, goes_ahead):
    target = ReplicaPace(HERE)
    assert target.pair("draft:1", placement).ahead.is_on is goes_ahead
    assert target.pair("draft:1", placement) is target.pair("draft:1")


def test_a_target_on_an_accelerator_shares_cores_with_nobody():
    assert ReplicaPace().pair("draft:1", HERE).ahead.is_on
