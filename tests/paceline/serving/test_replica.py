"""What a process says of itself."""

import os

import pytest

from paceline.serving.config import ModelServiceConfig
from paceline.serving.placement import Placement
from paceline.serving.replica import Replica
from paceline.v1 import model_pb2


def config(device: str) -> ModelServiceConfig:
    return ModelServiceConfig(listen="127.0.0.1:0", model="fake", replica_id="replica-0", device=device)


def test_a_replica_on_cores_tells_which():
    message = Replica.of(config("CPU")).to_message()
    assert Placement.from_message(message) == Placement.here()
    assert list(message.placement.cores) == sorted(os.sched_getaffinity(0))
    assert message.placement.machine_id


@pytest.mark.parametrize("device", ["GPU", "NPU"])
def test_a_replica_on_an_accelerator_tells_none(device):
    message = Replica.of(config(device)).to_message()
    assert not message.HasField("placement")
    assert Placement.from_message(message) is None


def test_a_replica_of_an_older_version_tells_none():
    assert Placement.from_message(model_pb2.ReplicaInfo(replica_id="old", incarnation="1")) is None
