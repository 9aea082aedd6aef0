"""Which other outcomes of a round are worth drafting behind: a decision, plain data in and plain data out."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from draft_service.outlook import Outlook

# A guess that comes true more seldom costs more than it brings.
MIN_CHANCE = 0.02


class Guess(NamedTuple):
    """An outcome of a round: the target accepts `num_accepted` draft ids and puts `token_id` in place of the next."""

    num_accepted: int
    token_id: int
    chance: float


def best_guesses(outlooks: Sequence[Outlook], max_guesses: int) -> list[Guess]:
    """Return the likeliest outcomes in which a draft id is refused, given the outlooks of the draft ids in order.

    Example: chances (0.6, 0.3) and then (0.9, 0.1) make "the first is refused for its next best" a matter of 0.3, and
    "the first is accepted, the second is refused" one of 0.6 * 0.1.
    """
    guesses: list[Guess] = []
    reached = 1.0
    for place, outlook in enumerate(outlooks):
        others = zip(outlook.token_ids[1:], outlook.chances[1:], strict=True)
        guesses += [Guess(place, token_id, reached * chance) for token_id, chance in others]
        reached *= outlook.chances[0]
    guesses.sort(key=lambda guess: -guess.chance)
    return [guess for guess in guesses[:max_guesses] if guess.chance >= MIN_CHANCE]


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
