"""What processes have used so far: seconds of CPU and memory, read from the kernel."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

CLOCK_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class ProcessUsage:
    """One process: CPU seconds of all its threads, and bytes of memory, mapped files included, at the most and now."""

    cpu_seconds: float
    peak_memory_bytes: int
    resident_memory_bytes: int


def usage_of(pids: Mapping[str, int]) -> dict[str, ProcessUsage]:
    """Return the usage of processes by name; what has ended, or a system without /proc, is left out."""
    found = ((name, _usage(pid)) for name, pid in pids.items())
    return {name: usage for name, usage in found if usage is not None}


def cpu_seconds_between(before: Mapping[str, ProcessUsage], after: Mapping[str, ProcessUsage]) -> float:
    """Return the CPU seconds that the processes of both readings used in between."""
    return sum(after[name].cpu_seconds - before[name].cpu_seconds for name in before.keys() & after.keys())


def _usage(pid: int) -> ProcessUsage | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return None
    # Fields 14 and 15 of proc(5), user and system; the second may hold spaces and ends at the last parenthesis.
    user, system = stat.rpartition(")")[2].split()[11:13]
    cpu_seconds = (int(user) + int(system)) / CLOCK_TICKS_PER_SECOND
    return ProcessUsage(cpu_seconds, _num_bytes("VmHWM", status), _num_bytes("VmRSS", status))


def _num_bytes(field: str, status: str) -> int:
    found = re.search(rf"{field}:\s+(\d+) kB", status)
    return int(found[1]) * 1024 if found else 0
