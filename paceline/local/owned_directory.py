"""Directories that carry the name of the process that made them, so that others can clean up after its death."""

import os
import shutil
import tempfile
from pathlib import Path


def make_owned_directory(parent: Path, prefix: str = "") -> Path:
    """Make a private directory of this process in `parent`; what dead processes have left there is removed first."""
    for directory in parent.glob(f"{prefix}*-*-*"):
        pid, _, _ = directory.name.removeprefix(prefix).partition("-")
        if pid.isdigit() and not directory.name.startswith(f"{prefix}{_owner_name(int(pid))}-"):
            shutil.rmtree(directory, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f"{prefix}{_owner_name(os.getpid())}-", dir=parent))


def start_of(pid: int) -> int | None:
    """Return when a process started, in clock ticks since boot; None where there is no such process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    # Field 22 of proc(5); the second field may hold spaces and ends at the last parenthesis.
    return int(stat.rpartition(")")[2].split()[19])


def _owner_name(pid: int) -> str:
    return f"{pid}-{start_of(pid)}"  # pids are used again, start times with them are not
