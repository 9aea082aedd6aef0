"""Which other outcomes of a round are worth drafting behind: a decision, plain data in and plain data out."""

from collections.abc import Sequence
from typing import NamedTuple

from paceline.sampling.outlook import Outlook

# A guess that comes true more seldom costs more than it brings.
MIN_CHANCE = 0.05


class Outcome(NamedTuple):
    """How a round ends: the target accepts `num_accepted` draft ids and puts `token_id` behind them."""

    num_accepted: int
    token_id: int


class Guess(NamedTuple):
    """An outcome that may come."""

    outcome: Outcome
    chance: float

    @property
    def num_accepted(self) -> int:
        """Draft ids that the target accepts in it."""
        return self.outcome.num_accepted

    @property
    def token_id(self) -> int:
        """The id that the target puts behind them."""
        return self.outcome.token_id


def best_guesses(outlooks: Sequence[Outlook], max_guesses: int) -> list[Guess]:
    """Return the likeliest outcomes in which the target chooses another id than the draft.

    Args:
        outlooks: Of the draft ids in order, and of the one that the draft would put behind them, where that is known.
        max_guesses: Most to return.

    Example: chances (0.6, 0.3) and then (0.9, 0.1) make "the first is refused for its next best" a matter of 0.3, and
    "the first is accepted, the second is not" one of 0.6 * 0.1.
    """
    guesses: list[Guess] = []
    reached = 1.0
    for place, outlook in enumerate(outlooks):
        others = zip(outlook.token_ids[1:], outlook.chances[1:], strict=True)
        guesses += [Guess(Outcome(place, token_id), reached * chance) for token_id, chance in others]
        reached *= outlook.chances[0]
    guesses.sort(key=lambda guess: -guess.chance)
    return [guess for guess in guesses[:max_guesses] if guess.chance >= MIN_CHANCE]
