"""On what a measurement was made, so that somebody else can repeat it."""

import os
import platform
import re
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("paceline", "openvino", "grpcio", "numpy", "tokenizers")


@dataclass(frozen=True)
class Machine:
    """The machine that measured."""

    cpu: str
    num_cores: int
    num_usable_cores: int
    memory_gib: float
    kernel: str


def this_machine() -> Machine:
    """Describe the machine that we run on."""
    memory = _first_match("/proc/meminfo", r"MemTotal:\s+(\d+) kB")
    return Machine(
        cpu=_first_match("/proc/cpuinfo", r"model name\s*: (.+)") or platform.machine(),
        num_cores=os.cpu_count() or 1,
        num_usable_cores=len(os.sched_getaffinity(0)),
        memory_gib=round(int(memory or 0) / 2**20, 1),
        kernel=platform.release(),
    )


def versions() -> dict[str, str]:
    """Return the versions of what computes, and the commit where this is a git work tree."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found | ({"commit": commit} if (commit := _git_commit()) else {})


def this_command() -> str:
    """Return the command line that runs."""
    return " ".join(["paceline", *sys.argv[1:]])


def _git_commit() -> str | None:
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return described.stdout.strip()


def _first_match(path: str, pattern: str) -> str | None:
    try:
        match = re.search(pattern, Path(path).read_text())
    except OSError:
        return None
    return match[1].strip() if match else None
