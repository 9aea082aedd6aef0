"""What was measured: one load, one system."""

from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks.peers.exchange import Outcome


@dataclass(frozen=True)
class Trial:
    """One measurement; trials of the same repeat and group had the same questions.

    Attributes:
        system: Its key.
        cpu_seconds: Of all its processes while it generated, the client's left out; None where it cannot be read.
        peak_memory_bytes: The most that each of its processes ever held, by role.
    """

    system: str
    repeat: int
    group: int
    outcome: Outcome
    cpu_seconds: float | None
    peak_memory_bytes: Mapping[str, int]


@dataclass(frozen=True)
class MeasuredCell:
    """A finished cell.

    Attributes:
        key: The cell's.
        systems: Keys of what was measured, in order.
        trials: All trials.
        cold_seconds: Seconds to the first token of each prompt that no cache held, by system.
        about: What computed, by system.
        measured_round_trips_ms: What a probe measured to target and draft, in the middle of some.
        skipped: Why the cell, or a system in it, was not measured; empty where all was.
    """

    key: str
    systems: tuple[str, ...]
    trials: tuple[Trial, ...]
    cold_seconds: Mapping[str, tuple[float, ...]]
    about: Mapping[str, str]
    measured_round_trips_ms: tuple[float, float] | None = None
    skipped: tuple[str, ...] = ()
