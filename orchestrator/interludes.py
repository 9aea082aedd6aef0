"""Rounds that are done another way now and then, so that it stays known what they would be."""

from orchestrator.load_octave import load_octave


class Interludes:
    """When the sessions of a pair leave their usual way for some rounds together, so that the other one stays known.

    Intervals double, and an interlude is the longer the less it costs, so that all of them cost about a percent.
    """

    def __init__(self, first_after: int, first_interval: int, longest_interval: int) -> None:
        self._next_at = first_after
        self._interval = first_interval
        self._longest_interval = longest_interval
        self._num_rounds = 0
        self._num_left = 0

    def next_round(self, num_sessions: int, num_rounds: int) -> bool:
        """Return whether a round of one of the sessions belongs to an interlude of so many rounds each."""
        self._num_rounds += 1
        if self._num_left > 0:
            self._num_left -= 1
            return True
        if self._num_rounds < self._next_at * num_sessions:
            return False
        self._num_rounds = 0
        self._next_at, self._interval = self._interval, min(2 * self._interval, self._longest_interval)
        self._num_left = num_rounds * num_sessions - 1
        return True


class InterludesByLoad:
    """Interludes of each octave of sessions: what one session has shown does not put off the first one of sixteen."""

    def __init__(self, first_after: int, first_interval: int, longest_interval: int) -> None:
        self._amounts = first_after, first_interval, longest_interval
        self._by_octave: dict[int, Interludes] = {}

    def next_round(self, num_sessions: int, num_rounds: int) -> bool:
        """See `Interludes.next_round`."""
        octave = load_octave(num_sessions)
        return self._by_octave.setdefault(octave, Interludes(*self._amounts)).next_round(
            num_sessions, num_rounds
        )
