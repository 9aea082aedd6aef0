"""The rounds of an answer, from when their tokens arrived."""

from dataclasses import dataclass

from paceline.cli.evaluation.measured_trial import Answer


@dataclass(frozen=True)
class TimedRound:
    """One round after the one that computed the prompt.

    Attributes:
        place: Place in the text of the first token that it brought.
        num_tokens: How many it brought.
        seconds: Since the arrival before.
        num_draft_tokens: Draft tokens that the target judged.
        num_accepted: Those that are in the text.
    """

    place: int
    num_tokens: int
    seconds: float
    num_draft_tokens: int
    num_accepted: int

    @property
    def is_full(self) -> bool:
        """Whether there were draft tokens and all of them were accepted."""
        return 0 < self.num_draft_tokens == self.num_accepted


def rounds_of(answer: Answer) -> list[TimedRound]:
    """Return the rounds of an answer after the first arrival, each of which brought one chunk of text.

    Where a round's text was held back, a chunk is of several rounds; such chunks come out as one round each.
    """
    place, rounds = answer.arrivals[0].num_tokens, list[TimedRound]()
    for arrival, seconds in zip(answer.arrivals[1:], answer.gaps, strict=True):
        rounds.append(
            TimedRound(place, arrival.num_tokens, seconds, arrival.num_draft_tokens, arrival.num_accepted)
        )
        place += arrival.num_tokens
    return rounds
