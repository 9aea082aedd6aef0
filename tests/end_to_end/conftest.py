"""One cluster of the tiny pair for all tests that only use it, and small random models."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.cluster_process import RunningCluster, running_cluster
from tests.end_to_end.tiny_cluster import Contexts, write_models


@pytest.fixture(scope="session")
def tiny_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCluster]:
    with running_cluster(tmp_path_factory.mktemp("up"), "--pair", "tiny") as cluster:
        yield cluster
    assert cluster.supervisor.returncode == 0, (cluster.runtime / "up.log").read_text()


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return write_models(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def contexts(models: dict[str, Path]) -> Iterator[Contexts]:
    contexts = Contexts(models["target"])
    yield contexts
    contexts.close()
