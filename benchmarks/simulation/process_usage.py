"""What a process has used so far, by proc(5)."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

_TICKS = os.sysconf("SC_CLK_TCK")


class ProcessUsage(NamedTuple):
    """CPU seconds of all threads since the start, and bytes of memory now."""

    cpu_seconds: float
    resident_bytes: int


def usage_of(pids: Iterable[int]) -> ProcessUsage:
    """Return the sum over some living processes."""
    usages = [_usage_of(pid) for pid in pids]
    return ProcessUsage(sum(one.cpu_seconds for one in usages), sum(one.resident_bytes for one in usages))


def _usage_of(pid: int) -> ProcessUsage:
    # The second field may hold spaces and ends at the last parenthesis; user and system time are the 14th and 15th.
    after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    ticks = int(after_name[11]) + int(after_name[12])
    return ProcessUsage(ticks / _TICKS, pages * os.sysconf("SC_PAGE_SIZE"))
