"""A target's text beside what a draft foresaw of it: what a round accepts, and what the draft had gone on behind."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from paceline.sampling.guesses import Outcome, best_guesses
from paceline.sampling.outlook import Outlook
from paceline.serving.session_point import DEFAULT_AHEAD_GUESSES


@dataclass(frozen=True)
class ForeseenText:
    """A text that a target has written, and a draft's outlook at each of its places, given the text before it.

    Attributes:
        ids: The target's.
        outlooks: One for each id; the first of its ids is the draft's own choice.
    """

    ids: Sequence[int]
    outlooks: Sequence[Outlook]

    @cached_property
    def agrees(self) -> tuple[bool, ...]:
        """Whether the draft would choose the target's id: an agreement chain, see `chain`."""
        return tuple(
            outlook.token_ids[0] == its for outlook, its in zip(self.outlooks, self.ids, strict=True)
        )

    def until(self, num_tokens: int) -> "ForeseenText":
        """Return the first tokens of it."""
        return ForeseenText(self.ids[:num_tokens], self.outlooks[:num_tokens])

    def is_guessed(self, place: int, num_draft_tokens: int, num_accepted: int) -> bool:
        """Return whether a draft service goes on behind another outcome than its own, and that is the one that comes.

        The outlooks behind a refused id are those of the target's text; the service has those of its own ids, which
        nobody knows here. They only compete for the last of its guesses.

        Args:
            place: Of the first draft token.
            num_draft_tokens: Of the round.
            num_accepted: Of them; the text goes on behind these.
        """
        guesses = best_guesses(self.outlooks[place : place + num_draft_tokens + 1], DEFAULT_AHEAD_GUESSES)
        outcome = Outcome(num_accepted, self.ids[place + num_accepted])
        return any(guess.outcome == outcome for guess in guesses)
