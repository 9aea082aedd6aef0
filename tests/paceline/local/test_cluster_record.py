"""How commands find the cluster that runs, and only that."""

import json
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from paceline.local.cluster_record import (
    RECORD_NAME,
    RUNTIME_DIR_VARIABLE,
    cluster_directory,
    find_cluster,
    write_record,
)
from paceline.local.errors import NoClusterError


@pytest.fixture(autouse=True)
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(RUNTIME_DIR_VARIABLE, str(tmp_path / "runtime"))
    return tmp_path / "runtime"


def test_a_running_cluster_is_found_and_a_stopped_one_is_not() -> None:
    with pytest.raises(NoClusterError, match="paceline up"):
        find_cluster()
    with cluster_directory() as directory:
        write_record(directory, "127.0.0.1:7000", "big", "small")
        assert find_cluster().address == "127.0.0.1:7000"
    with pytest.raises(NoClusterError):
        find_cluster()
    assert not directory.exists()


def test_the_youngest_of_several_clusters_is_found() -> None:
    with cluster_directory() as older, cluster_directory() as younger:
        write_record(older, "127.0.0.1:7000", "big", "small")
        write_record(younger, "127.0.0.1:7001", "big", "small")
        assert find_cluster().address == "127.0.0.1:7001"


def test_the_record_of_a_dead_supervisor_is_not_believed_and_its_directory_is_removed(runtime: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    abandoned = runtime / f"{ended.pid}-1-x"
    with cluster_directory() as directory:
        record = write_record(directory, "127.0.0.1:7000", "big", "small")
        fields = {**vars(record), "supervisor_pid": ended.pid}
    abandoned.mkdir()
    (abandoned / RECORD_NAME).write_text(json.dumps(fields))
    with pytest.raises(NoClusterError):
        find_cluster()
    with cluster_directory():
        assert not abandoned.exists()


def test_a_pid_that_is_used_again_is_not_mistaken_for_the_supervisor(runtime: Path) -> None:
    with cluster_directory() as directory:
        record = write_record(directory, "127.0.0.1:7000", "big", "small")
        assert record.supervisor_pid == os.getpid()
        fields = {**vars(record), "supervisor_start": record.supervisor_start - 1}
        (directory / RECORD_NAME).write_text(json.dumps(fields))
        with pytest.raises(NoClusterError):
            find_cluster()


@pytest.mark.parametrize("content", ["", "{}", "[1]", '{"another": "version"}'])
def test_a_record_that_cannot_be_read_is_passed_over(content: str) -> None:
    with cluster_directory() as directory:
        (directory / RECORD_NAME).write_text(content)
        with pytest.raises(NoClusterError):
            find_cluster()


def fail_in_a_cluster_directory() -> Path:
    with suppress(OSError), cluster_directory() as directory:
        (directory / "target-0.log").write_text("why")
        raise OSError
    return directory


def test_after_an_error_the_logs_stay() -> None:
    directory = fail_in_a_cluster_directory()
    assert (directory / "target-0.log").read_text() == "why"
