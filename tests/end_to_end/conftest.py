"""One cluster of the tiny pair for all tests that only use it."""

from collections.abc import Iterator

import pytest

from tests.end_to_end.cluster_process import RunningCluster, running_cluster


@pytest.fixture(scope="session")
def tiny_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCluster]:
    with running_cluster(tmp_path_factory.mktemp("up"), "--pair", "tiny") as cluster:
        yield cluster
    assert cluster.supervisor.returncode == 0, (cluster.runtime / "up.log").read_text()
