"""When a call that failed is tried again."""

import asyncio
import random
import time
from dataclasses import dataclass

from paceline.client.errors import CallFailedError, DeadlineExceededError
from paceline.client.retry_budget import RetryBudget


@dataclass(frozen=True)
class RetrySettings:
    """When to try again, and when to give up.

    Attributes:
        first_pause_seconds: Pause after the first failure in a row; it doubles, with jitter.
        last_pause_seconds: The longest pause.
        give_up_seconds: Seconds without any progress after which the failure is the caller's.
        give_up_at_first_seconds: The same before the first progress; each orchestrator is tried once in any case, but
            where a server says to come again later than that.
        silence_seconds: Seconds without an event after which one attempt is given up and the next orchestrator tried;
            None waits as long as the connection lives, which is asked for every 6 seconds. Prompts take time, and so
            does a line of waiting requests.
    """

    first_pause_seconds: float = 0.05
    last_pause_seconds: float = 1.0
    give_up_seconds: float = 60.0
    give_up_at_first_seconds: float = 60.0
    silence_seconds: float | None = None


class Deadline:
    """The moment at which a call has to be finished, whatever was tried until then; never, without a timeout."""

    def __init__(self, timeout_seconds: float | None) -> None:
        self.timeout_seconds = timeout_seconds
        self._ends_at = None if timeout_seconds is None else time.monotonic() + timeout_seconds

    @property
    def remaining_seconds(self) -> float | None:
        """Seconds that are left; None where there is no end."""
        return None if self._ends_at is None else max(self._ends_at - time.monotonic(), 0.0)

    def is_over_in(self, seconds: float) -> bool:
        """Whether it will have passed after so many seconds."""
        return self._ends_at is not None and time.monotonic() + seconds >= self._ends_at

    def exceeded(self, address: str, last: CallFailedError | None = None) -> DeadlineExceededError:
        """Return the error of a call that was not finished in time, and what its last attempt failed of."""
        cause = "" if last is None or isinstance(last, DeadlineExceededError) else f"; last: {last.message}"
        message = f"not finished within {self.timeout_seconds:g} s{cause}"
        return DeadlineExceededError(address, "DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED", message, {})


class Retry:
    """The attempts of one call: pauses between them, until there was no progress for too long."""

    def __init__(
        self, settings: RetrySettings, num_orchestrators: int, deadline: Deadline, budget: RetryBudget | None
    ) -> None:
        self._settings = settings
        self._deadline = deadline
        self._budget = budget
        self._pause_seconds = settings.first_pause_seconds
        self._give_up_at = time.monotonic() + settings.give_up_at_first_seconds
        self._num_untried = num_orchestrators
        self._has_progressed = False  # in this attempt
        self._has_begun = False  # in any attempt

    def succeed(self) -> None:
        """Note progress."""
        if self._budget is not None and not self._has_progressed:
            self._budget.succeed()
        self._has_progressed = self._has_begun = True
        self._pause_seconds = self._settings.first_pause_seconds
        self._give_up_at = time.monotonic() + self._settings.give_up_seconds
        self._num_untried = 0

    async def wait(self, error: CallFailedError) -> None:
        """Wait for the next attempt; raises the error where none is due, and DeadlineExceededError."""
        self._has_progressed = False
        self._num_untried -= 1
        if not error.is_temporary:
            raise error
        pause_seconds = error.retry_after_seconds + self._pause_seconds
        if self._deadline.is_over_in(error.retry_after_seconds) and error.retry_after_seconds:
            raise error
        if self._deadline.is_over_in(pause_seconds):
            raise self._deadline.exceeded(error.address, error) from error
        # What broke after it had begun is gone on with, not repeated: that costs nobody anything twice.
        if not self._has_begun:
            self._pay(error)
        # Who has to wait for that long anyway waits in vain for the orchestrators that are untried too.
        is_last = self._num_untried <= 0 or error.retry_after_seconds > 0
        if is_last and time.monotonic() + pause_seconds > self._give_up_at:
            raise error
        jitter = random.uniform(0.5, 1.0)  # noqa: S311, spreads clients
        await asyncio.sleep(error.retry_after_seconds + jitter * self._pause_seconds)
        self._pause_seconds = min(2 * self._pause_seconds, self._settings.last_pause_seconds)

    def _pay(self, error: CallFailedError) -> None:
        if self._budget is None:
            return
        self._budget.fail()
        if self._budget.is_spent:
            error.add_note("not repeated: too many calls of this client have failed lately")
            raise error
