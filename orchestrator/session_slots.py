"""How many generations may run at once."""

from paceline.serving.errors import TooManySessionsError


class SessionSlots:
    """A fixed number of places, each taken for as long as a generation lives."""

    def __init__(self, max_sessions: int) -> None:
        self._max_sessions = max_sessions
        self._num_sessions = 0

    def take(self, num_places: int) -> "Places":
        """Take places; raises TooManySessionsError and takes none."""
        if self._num_sessions + num_places > self._max_sessions:
            message = (
                f"{self._num_sessions} of {self._max_sessions} sessions are taken and {num_places} more are wanted; "
                "try again when some have ended"
            )
            raise TooManySessionsError(message, max_sessions=self._max_sessions)
        self._num_sessions += num_places
        return Places(self, num_places)

    def give_back(self, num_places: int) -> None:
        """Let others have places."""
        self._num_sessions -= num_places


class Places:
    """Places that one call has taken."""

    def __init__(self, slots: SessionSlots, num_places: int) -> None:
        self._slots = slots
        self._num_places = num_places

    def give_back(self) -> None:
        """Give the places back; once is enough."""
        self._slots.give_back(self._num_places)
        self._num_places = 0
