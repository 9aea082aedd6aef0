"""Where to turn and how long to wait when targets have no room: a decision, without any waiting of its own."""

import random
from dataclasses import dataclass, field

from orchestrator.errors import RoundFailedError

NO_ROOM_REASONS = frozenset({"KV_BLOCKS_EXHAUSTED", "TOO_MANY_SESSIONS"})


@dataclass
class RoomSearch:
    """One round's search: every target once, a pause, and again, until the bound.

    Pauses double from `next_pause_seconds` to `longest_pause_seconds`, and each is a random part of that, so that the
    sessions that a full target has refused do not come back together. Times are seconds of one monotonic clock.

    Attributes:
        deadline_at: When the round is given up.
        refused: Addresses that have refused it since the last pause.
    """

    deadline_at: float
    next_pause_seconds: float = 0.1
    longest_pause_seconds: float = 2.0
    refused: set[str] = field(default_factory=set[str])

    def pause_seconds(self, now: float) -> float | None:
        """Return how long to wait before all targets are asked again; None where it is too late for that."""
        if now >= self.deadline_at:
            return None
        pause = random.uniform(0.5, 1.0) * self.next_pause_seconds  # noqa: S311, jitter
        self.next_pause_seconds = min(2 * self.next_pause_seconds, self.longest_pause_seconds)
        self.refused.clear()
        return min(pause, self.deadline_at - now)


def can_never_fit(refusal: RoundFailedError) -> bool:
    """Whether a round needs more blocks than the replica has in all, so that waiting cannot help."""
    needed, total = (str(refusal.facts.get(name, "")) for name in ("num_needed", "num_total"))
    return needed.isdigit() and total.isdigit() and int(needed) > int(total)
