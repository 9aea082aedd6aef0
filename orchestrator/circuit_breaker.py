"""When to stop asking something that fails, and when to ask again."""

from dataclasses import dataclass


@dataclass
class CircuitBreaker:
    """Open for a cool-down after each failure: `first_seconds`, doubling up to `last_seconds` until a success.

    After the cool-down one caller may try (`begin`). The others see it open until that trial has succeeded or failed,
    or for another cool-down where nobody reports what came of it. Times are seconds of one monotonic clock, which the
    caller reads.
    """

    first_seconds: float
    last_seconds: float
    _cool_down_seconds: float | None = None  # of the last failure; None while there was a success since
    _cools_until: float = 0.0
    _trial_until: float = 0.0

    def is_open(self, now: float) -> bool:
        """Whether to leave it alone."""
        return now < max(self._cools_until, self._trial_until)

    def begin(self, now: float) -> None:
        """Note that it is about to be asked; after a cool-down that is the trial."""
        if self._cool_down_seconds is not None and not self.is_open(now):
            self._trial_until = now + self._cool_down_seconds

    def fail(self, now: float) -> None:
        """Note a failure; those that are reported while it cools down are part of the one before."""
        if now < self._cools_until:
            return
        previous = self._cool_down_seconds
        seconds = self.first_seconds if previous is None else min(2 * previous, self.last_seconds)
        self._cool_down_seconds = seconds
        self._cools_until, self._trial_until = now + seconds, 0.0

    def succeed(self) -> None:
        """Note a success."""
        self._cool_down_seconds = None
        self._cools_until = self._trial_until = 0.0
