"""Which cores which pool runs on."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, fields

from paceline.errors import ConfigError

Cores = frozenset[int]
EXAMPLE = "draft=0,target=1-3 or draft=0+1,target=2"


@dataclass(frozen=True)
class CoreAssignment:
    """Cores of each pool; None leaves it to the system."""

    draft: Cores | None = None
    target: Cores | None = None
    orchestrator: Cores | None = None

    def describe(self) -> str:
        """Return the assignment as `parse_cores` reads it."""
        pools = {field.name: getattr(self, field.name) for field in fields(self)}
        return ",".join(f"{pool}={describe_cores(cores)}" for pool, cores in pools.items() if cores)


def default_cores(available: Iterable[int]) -> CoreAssignment:
    """Give the draft a quarter of the cores, at least one, and the target the rest; pin nothing on one core.

    Example: [0, 1] gives draft 0 and target 1; eight cores give draft 0-1 and target 2-7.
    """
    cores = sorted(available)
    if len(cores) < 2:
        return CoreAssignment()
    num_draft = max(1, len(cores) // 4)
    return CoreAssignment(draft=Cores(cores[:num_draft]), target=Cores(cores[num_draft:]))


def parse_cores(text: str, available: Iterable[int]) -> CoreAssignment:
    """Read an assignment such as `draft=0,target=1-3`; raises ConfigError, naming what is wrong."""
    known = {field.name for field in fields(CoreAssignment)}
    chosen: dict[str, Cores] = {}
    for part in text.split(","):
        pool, _, cores = part.partition("=")
        if pool not in known or pool in chosen:
            raise ConfigError(
                f"--cores {text!r}: write each of {', '.join(sorted(known))} at most once, as in {EXAMPLE}",
                setting="cores",
            )
        chosen[pool] = _parse_set(cores, frozenset(available))
    return CoreAssignment(**chosen)


def share_of(cores: Cores | None, replica: int, num_replicas: int) -> Cores | None:
    """Return the cores of one replica of a pool: its own share, or all of them where there are too few."""
    if cores is None or len(cores) < num_replicas:
        return cores
    return Cores(sorted(cores)[replica::num_replicas])


def describe_cores(cores: Cores) -> str:
    """Return cores as `parse_cores` reads them, for example `0+2-4`."""
    parts: list[str] = []
    for core in sorted(cores):
        if core - 1 in cores:
            continue
        last = core
        while last + 1 in cores:
            last += 1
        parts.append(str(core) if last == core else f"{core}-{last}")
    return "+".join(parts)


def _parse_set(text: str, available: Cores) -> Cores:
    chosen: set[int] = set()
    for part in text.split("+"):
        match = re.fullmatch(r"(\d+)(?:-(\d+))?", part)
        if match is None:
            raise ConfigError(f"--cores: {part!r} is no core and no range; try {EXAMPLE}", setting="cores")
        first, last = int(match[1]), int(match[2] or match[1])
        chosen.update(range(first, last + 1))
    if not chosen or chosen - available:
        here = describe_cores(available)
        raise ConfigError(f"--cores: {text} is not among the cores of this process, {here}", setting="cores")
    return Cores(chosen)
