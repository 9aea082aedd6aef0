"""Expected speed-up of a text that was not timed, from what the draft foresees and from what rounds cost elsewhere.

All costs are in units of what the target alone takes for a token, measured beside the round: a machine that is slower
for a while slows both, and the ratio stays. The prompt's time and the first token are left out, as in the measured
speed-up.

What a round costs depends on what the draft could do while the target judged the round before. Meanwhile it goes on
behind its last draft token and behind the likeliest other outcomes, so that a round whose beginning is among these
finds its draft tokens there; another one waits for them.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import mean, median

from paceline.cli.evaluation.reading.chain import walk_rounds
from paceline.cli.evaluation.reading.foreseen import ForeseenText


class Situation(StrEnum):
    """What a round finds of what the draft has drafted ahead."""

    FIRST = "first"  # it has read the prompt, and chosen the token that the target put behind it
    CONTINUED = "continued"  # all its tokens were accepted, and the token that followed was its own choice
    REPLACED = "replaced"  # a token of its was refused for one that it had gone on behind, as soon as on behind its own
    FOLLOWED = "followed"  # one followed that it had gone on behind a step later, when it knew its own choice
    MISSED = "missed"  # nothing: a token came that it had not gone on behind


# Where a situation was never measured: what comes nearest to it.
_NEAREST: Mapping[Situation, Sequence[Situation]] = {
    Situation.FIRST: (Situation.REPLACED, Situation.CONTINUED, Situation.FOLLOWED, Situation.MISSED),
    Situation.CONTINUED: (Situation.FOLLOWED, Situation.REPLACED, Situation.FIRST, Situation.MISSED),
    Situation.REPLACED: (Situation.CONTINUED, Situation.FIRST, Situation.FOLLOWED, Situation.MISSED),
    Situation.FOLLOWED: (Situation.CONTINUED, Situation.REPLACED, Situation.FIRST, Situation.MISSED),
    Situation.MISSED: (Situation.FOLLOWED, Situation.CONTINUED, Situation.REPLACED, Situation.FIRST),
}


@dataclass(frozen=True)
class RoundSample:
    """A measured round of K draft tokens: its cost in tokens of the target alone, and in which repeat it was."""

    situation: Situation
    cost: float
    repeat: int


@dataclass(frozen=True)
class RoundCosts:
    """Costs of rounds of `num_draft_tokens` draft tokens by situation; at least one is known."""

    num_draft_tokens: int
    by_situation: Mapping[Situation, float]

    def of(self, situation: Situation, num_draft_tokens: int) -> float:
        """Return what a round costs.

        One with fewer draft tokens, at a text's end, lies between them and a round without any, which costs 1.
        """
        known = next(one for one in (situation, *_NEAREST[situation]) if one in self.by_situation)
        return 1 + (self.by_situation[known] - 1) * num_draft_tokens / self.num_draft_tokens


def situation_at_first(text: ForeseenText) -> Situation:
    """Return in what situation the round is that follows the prompt's."""
    if text.agrees[0]:
        return Situation.FIRST
    return Situation.FOLLOWED if text.is_guessed(0, 0, 0) else Situation.MISSED


def situation_after(text: ForeseenText, place: int, num_draft_tokens: int, num_accepted: int) -> Situation:
    """Return in what situation the round is that follows one.

    Args:
        text: The whole text.
        place: Of the first token that the round brought.
        num_draft_tokens: Its draft tokens.
        num_accepted: Those that were accepted.
    """
    next_place = place + num_accepted
    if num_draft_tokens == 0 or next_place >= len(text.ids):
        return Situation.MISSED  # the draft was late, or there is no round
    is_full = num_accepted == num_draft_tokens
    if is_full and text.agrees[next_place]:
        return Situation.CONTINUED
    if not text.is_guessed(place, num_draft_tokens, num_accepted):
        return Situation.MISSED
    return Situation.FOLLOWED if is_full else Situation.REPLACED


def costs_of(samples: Iterable[RoundSample], num_draft_tokens: int) -> RoundCosts | None:
    """Return the costs of rounds: the mean of each repeat, and of those the median; None without a sample.

    The mean, because costs are added up; the median, so that a stall in one repeat does not count.
    """
    by_situation: dict[Situation, dict[int, list[float]]] = {}
    for sample in samples:
        by_situation.setdefault(sample.situation, {}).setdefault(sample.repeat, []).append(sample.cost)
    if not by_situation:
        return None
    costs = {
        situation: median(mean(costs) for costs in by_repeat.values())
        for situation, by_repeat in by_situation.items()
    }
    return RoundCosts(num_draft_tokens, costs)


def filled(costs: RoundCosts, others: Sequence[RoundCosts]) -> RoundCosts:
    """Return costs with the situations that were never measured filled in from the nearest K that has them.

    A draft that is seldom right has no round behind one of 8 that were all accepted, but may have some behind 3.
    """
    by_situation = dict(costs.by_situation)
    for situation in Situation:
        known = [other for other in others if situation in other.by_situation]
        if situation not in by_situation and known:
            nearest = min(known, key=lambda one: abs(one.num_draft_tokens - costs.num_draft_tokens))
            by_situation[situation] = nearest.of(situation, costs.num_draft_tokens)
    return RoundCosts(costs.num_draft_tokens, by_situation)


def predict_speed_up(text: ForeseenText, costs: RoundCosts, max_tokens: int) -> float | None:
    """Return how many times faster than the target alone a text comes after its first token; None if that is all.

    Args:
        text: The whole text.
        costs: Of rounds of K draft tokens.
        max_tokens: Where the text would have ended at the latest: no token is drafted that could not be sent.
    """
    num_tokens, place, total = len(text.ids) - 1, 1, 0.0
    if num_tokens < 1:
        return None
    num_draft_tokens, situation = costs.num_draft_tokens, situation_at_first(text)
    for walked in walk_rounds(text.agrees[1:], num_draft_tokens):
        num_useful = max(0, min(num_draft_tokens, max_tokens - place - 1))
        total += costs.of(situation, num_useful)
        situation = situation_after(text, place, num_draft_tokens, walked.num_accepted)
        place += walked.num_accepted + 1
    return num_tokens / total
