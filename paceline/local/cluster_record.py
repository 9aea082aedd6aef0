"""What a running local cluster leaves in the user's runtime directory, so that other commands find it."""

import json
import os
import shutil
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import platformdirs

from paceline.local.errors import NoClusterError
from paceline.local.owned_directory import make_owned_directory, start_of
from paceline.local.stop_signals import StoppedError

RUNTIME_DIR_VARIABLE = "PACELINE_RUNTIME_DIR"
RECORD_NAME = "cluster.json"


@dataclass(frozen=True)
class ClusterRecord:
    """A ready cluster: its supervisor and the orchestrator's address."""

    supervisor_pid: int
    supervisor_start: int  # clock ticks since boot, because pids are used again
    address: str
    target: str
    draft: str
    started_at: float  # seconds since the epoch


def runtime_directory() -> Path:
    """Return what PACELINE_RUNTIME_DIR names, else Paceline's place in the user's runtime or cache directory."""
    if chosen := os.environ.get(RUNTIME_DIR_VARIABLE):
        return Path(chosen).expanduser()
    if session := os.environ.get("XDG_RUNTIME_DIR"):
        return Path(session) / "paceline"
    return platformdirs.user_cache_path("paceline") / "run"


@contextmanager
def cluster_directory() -> Generator[Path]:
    """Own a private directory for one cluster inside a `with`: its logs, its Redis data and its record.

    It is removed at a clean end and stays for a look at the logs after an error. What dead supervisors have
    left is removed first.
    """
    parent = runtime_directory()
    parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    directory = make_owned_directory(parent)
    try:
        yield directory
    except StoppedError:
        shutil.rmtree(directory)
        raise
    except Exception:
        (directory / RECORD_NAME).unlink(missing_ok=True)
        raise
    except BaseException:
        shutil.rmtree(directory)
        raise
    shutil.rmtree(directory)


def write_record(directory: Path, address: str, target: str, draft: str) -> ClusterRecord:
    """Make a ready cluster known."""
    start = start_of(os.getpid())
    assert start is not None
    record = ClusterRecord(os.getpid(), start, address, target, draft, time.time())
    unfinished = directory / f"{RECORD_NAME}.part"
    unfinished.write_text(json.dumps(asdict(record)))
    unfinished.replace(directory / RECORD_NAME)
    return record


def find_cluster() -> ClusterRecord:
    """Return the youngest cluster whose supervisor lives; raises NoClusterError."""
    records = [_read(path) for path in runtime_directory().glob(f"*/{RECORD_NAME}")]
    living = [
        record for record in records if record and start_of(record.supervisor_pid) == record.supervisor_start
    ]
    if not living:
        raise NoClusterError
    return max(living, key=lambda record: record.started_at)


def _read(path: Path) -> ClusterRecord | None:
    try:
        return ClusterRecord(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        return None  # it is being removed, or another version wrote it
