"""What a session lost on the way at its targets, and what making it good took."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Recovery:
    """All zero in an undisturbed generation.

    Attributes:
        num_failovers: Moves to a target process by the reason why the one before was left, for example SILENT.
        detection_seconds: From the last sign of life of a lost target, or from when it was asked if that is later,
            until the loss was noticed.
        takeover_seconds: From then until the session was bound to the next one under a new epoch.
        rebuild_seconds: From then until its first verdict.
        num_rebuilt_tokens: Tokens whose KV was computed again because a cache was gone.
    """

    num_failovers: dict[str, int] = field(default_factory=Counter[str])
    detection_seconds: float = 0.0
    takeover_seconds: float = 0.0
    rebuild_seconds: float = 0.0
    num_rebuilt_tokens: int = 0

    def note_move(self, reason: str, detection_seconds: float, takeover_seconds: float) -> None:
        """Note that the session has moved."""
        self.num_failovers[reason] = self.num_failovers.get(reason, 0) + 1
        self.detection_seconds += detection_seconds
        self.takeover_seconds += takeover_seconds

    def note_rebuilt(self, seconds: float, num_tokens: int) -> None:
        """Note the first verdict after a cache was gone."""
        self.rebuild_seconds += seconds
        self.num_rebuilt_tokens += num_tokens
