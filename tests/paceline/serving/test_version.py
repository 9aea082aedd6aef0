"""Which versions of services work together."""

from importlib.metadata import version

import pytest

from paceline.serving.replica import Replica
from paceline.serving.version import CONTRACT, OLDEST_CONTRACT, ServiceVersion
from paceline.v1 import model_pb2

HERE = ServiceVersion.here()


def test_a_release_works_with_itself_and_with_the_one_before():
    assert HERE.works_with(HERE)
    assert OLDEST_CONTRACT < CONTRACT
    assert HERE.works_with(ServiceVersion("0.0.9", CONTRACT - 1, max(0, OLDEST_CONTRACT - 1)))


@pytest.mark.parametrize(
    ("other", "works"),
    [
        (ServiceVersion("0.9.0", CONTRACT + 1, CONTRACT), True),  # newer, and still understands us
        (ServiceVersion("9.0.0", CONTRACT, OLDEST_CONTRACT), True),  # the name of a release decides nothing
        (ServiceVersion("2.0.0", CONTRACT + 2, CONTRACT + 1), False),
    ],
)
def test_the_newer_one_says_whether_it_understands_the_older_one(other: ServiceVersion, works: bool):
    assert HERE.works_with(other) is works
    assert other.works_with(HERE) is works


def test_a_version_that_needs_newer_ones_refuses_older_ones():
    strict = ServiceVersion("2.0.0", 5, 4)
    assert not strict.works_with(ServiceVersion("1.0.0", 3, 0))
    assert strict.works_with(ServiceVersion("1.1.0", 4, 0))


def test_a_replica_tells_the_version_that_it_runs():
    message = Replica("replica-0").to_message()
    assert ServiceVersion.from_message(model_pb2.ReplicaInfo.FromString(message.SerializeToString())) == HERE
    assert (HERE.release, HERE.contract) == (version("paceline"), CONTRACT)


def test_a_replica_that_tells_none_has_contract_0():
    assert ServiceVersion.from_message(model_pb2.ReplicaInfo(replica_id="old")) == ServiceVersion("", 0, 0)
