"""Whether a replica that owes an answer is busy or hung: a decision, plain data in and plain data out."""

from dataclasses import dataclass
from enum import Enum, auto
from typing import NamedTuple

from orchestrator.replica_pulse import ReplicaPulse


@dataclass(frozen=True)
class LivenessLimits:
    """How long a replica that owes an answer may be silent, and how long its engine may stand still.

    Attributes:
        silence_seconds: Longest time without any frame.
        min_stall_seconds: Shortest time without a forward pass that counts as hung.
        num_stall_steps: How many of its longest passes a pass may take.
        room_seconds: Longest time without a pass while all that is owed may wait for room in the KV cache.
    """

    silence_seconds: float = 2.0
    min_stall_seconds: float = 3.0
    num_stall_steps: float = 8.0
    room_seconds: float = 60.0


class Owed(NamedTuple):
    """The answers that a replica owes."""

    num_rounds: int
    since: float  # when the oldest of them was asked, or when we last began to watch, whichever is later
    deadline_at: float | None  # when the first of them is given up if the replica shows no progress


class Liveness(Enum):
    """What is known of a replica."""

    ALIVE = auto()
    UNCERTAIN = auto()  # silent, but it never sent progress: ask it whether it is there
    SILENT = auto()  # nothing comes from it
    STALLED = auto()  # it is there, and its engine stands still


def liveness(pulse: ReplicaPulse, owed: Owed, now: float, limits: LivenessLimits) -> Liveness:
    """Judge a replica by its pulse.

    Example: passes took up to 0.5 s, the last one ended 4.5 s ago and a frame came 0.4 s ago -> STALLED, because
    8 x 0.5 s is longer than the shortest stall of 3 s and has passed.
    """
    silent_seconds = now - max(pulse.heard_at, owed.since)
    if pulse.progress is None:
        if owed.deadline_at is not None and now > owed.deadline_at:
            return Liveness.SILENT
        return Liveness.UNCERTAIN if silent_seconds > limits.silence_seconds else Liveness.ALIVE
    if silent_seconds > limits.silence_seconds:
        return Liveness.SILENT
    still_seconds = now - max(pulse.grew_at, owed.since)
    return Liveness.STALLED if still_seconds > _longest_stall(pulse, owed, limits) else Liveness.ALIVE


def _longest_stall(pulse: ReplicaPulse, owed: Owed, limits: LivenessLimits) -> float:
    assert pulse.progress is not None
    longest_step = limits.num_stall_steps * pulse.progress.longest_step_seconds
    seconds = pulse.stall_factor * max(limits.min_stall_seconds, longest_step)
    if owed.num_rounds <= pulse.progress.num_waiting:  # the engine may have nothing that it could run
        return max(seconds, limits.room_seconds)
    return seconds
