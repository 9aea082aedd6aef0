"""When to stop asking something that fails, and when to ask again."""

from dataclasses import dataclass


@dataclass
class CircuitBreaker:
    """Open for a cool-down after each failure: `first_seconds`, doubling up to `last_seconds` until a success.

    Times are seconds of one monotonic clock, which the caller reads.
    """

    first_seconds: float
    last_seconds: float
    _next_seconds: float | None = None
    _closes_at: float = 0.0

    def is_open(self, now: float) -> bool:
        """Whether to leave it alone."""
        return now < self._closes_at

    def fail(self, now: float) -> None:
        """Note a failure."""
        seconds = self.first_seconds if self._next_seconds is None else self._next_seconds
        self._closes_at = now + seconds
        self._next_seconds = min(2 * seconds, self.last_seconds)

    def succeed(self) -> None:
        """Note a success."""
        self._next_seconds = None
        self._closes_at = 0.0
