"""How many outcomes of rounds a replica may be drafting behind at once."""

from collections.abc import Iterator
from contextlib import contextmanager


class GuessBudget:
    """How many guesses all sessions of a replica may be drafting behind at once, each a row more in a pass.

    Works of proposals that are waited for take their places: a replica with much to do makes no guesses.
    """

    def __init__(self, max_guesses: int) -> None:
        self._max_guesses = max_guesses
        self._num_guesses = 0
        self._num_due = 0

    @property
    def num_free(self) -> int:
        """Guesses that there is room for."""
        return max(0, self._max_guesses - self._num_guesses - self._num_due)

    @contextmanager
    def due(self) -> Iterator[None]:
        """Count a work that is waited for."""
        self._num_due += 1
        try:
            yield
        finally:
            self._num_due -= 1

    def take(self, num_wanted: int) -> int:
        """Return how many of the wanted guesses there is room for, and count them."""
        num_taken = min(num_wanted, self.num_free)
        self._num_guesses += num_taken
        return num_taken

    def give_back(self, num_guesses: int) -> None:
        """Count guesses no longer."""
        self._num_guesses -= num_guesses
