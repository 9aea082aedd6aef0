"""How many generations may run at once."""

from collections.abc import Iterator
from contextlib import contextmanager

from paceline.serving.errors import TooManySessionsError


class SessionSlots:
    """A fixed number of places, each held for as long as a generation lives."""

    def __init__(self, max_sessions: int) -> None:
        self._max_sessions = max_sessions
        self._num_sessions = 0

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold a place inside a `with`; raises TooManySessionsError."""
        if self._num_sessions >= self._max_sessions:
            message = f"all {self._max_sessions} sessions are taken; try again when one has ended"
            raise TooManySessionsError(message, max_sessions=self._max_sessions)
        self._num_sessions += 1
        try:
            yield
        finally:
            self._num_sessions -= 1
