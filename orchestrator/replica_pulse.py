"""What shows that a replica lives: when it was last heard, and how its engine goes on."""

from dataclasses import dataclass
from typing import NamedTuple

# Content of a cache changes within seconds, so what was said of it longer ago says nothing.
_FRESH_SECONDS = 5.0
_LONGEST_STALL_FACTOR = 8.0


class EngineProgress(NamedTuple):
    """What a replica says of its engine while a round waits for it."""

    num_steps: int  # forward passes since its start
    longest_step_seconds: float  # of the latest passes; 0 before the first one
    num_waiting: int  # works that wait for room in the KV cache or for their sequence
    num_available_blocks: int
    num_blocks: int = 0  # in all; 0 where it does not say
    num_running: int = 0  # works that it computes


@dataclass
class ReplicaPulse:
    """The signs of life of one process, over all connections to it; times are seconds of one monotonic clock.

    Attributes:
        heard_at: When anything at all last came from it.
        grew_at: When its number of passes was last seen to have grown.
        progress: What it last said of its engine; None where it never did.
        stall_factor: How many times longer than usual it may stand still: doubled whenever it was taken for hung
            and turned out to be slow.
        told_at: When it last said something of its engine; None where it never did.
    """

    heard_at: float
    grew_at: float
    progress: EngineProgress | None = None
    stall_factor: float = 1.0
    told_at: float | None = None
    _num_steps_at_stall: int | None = None

    def hear(self, now: float, progress: EngineProgress | None = None) -> bool:
        """Note a frame; returns whether it shows that the engine has run since the one before."""
        self.heard_at = now
        if progress is None:
            return False
        has_grown = self.progress is not None and progress.num_steps != self.progress.num_steps
        if has_grown or self.progress is None:
            self.grew_at = now
        self.progress, self.told_at = progress, now
        self._forgive_if_slow(progress)
        return has_grown

    def note_stall(self) -> None:
        """Note that it was given up because its engine stood still."""
        self._num_steps_at_stall = self.progress.num_steps if self.progress is not None else None

    def num_available_blocks(self, now: float) -> int | None:
        """Return how many blocks of its KV cache can be handed out; None where nothing fresh is known."""
        if self.progress is None or now - self.heard_at > _FRESH_SECONDS:
            return None
        return self.progress.num_available_blocks

    def _forgive_if_slow(self, progress: EngineProgress) -> None:
        if self._num_steps_at_stall is not None and progress.num_steps > self._num_steps_at_stall:
            self.stall_factor = min(2 * self.stall_factor, _LONGEST_STALL_FACTOR)
            self._num_steps_at_stall = None
