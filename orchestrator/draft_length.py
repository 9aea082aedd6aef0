"""How many draft tokens a round asks for: a decision, plain data in and plain data out."""

from collections.abc import Sequence
from enum import StrEnum
from itertools import accumulate
from operator import mul
from typing import NamedTuple


class RoundOutlook(NamedTuple):
    """What the decision is made from."""

    round: int
    num_wanted: (
        int  # most draft tokens a round as the request or the configuration has it; 0 turns speculation off
    )
    num_remaining: int  # tokens that may still be generated, at least 1
    max_ahead: int  # draft tokens that the draft may guess past its proposal
    num_awaited: int | None = None  # of the wanted ones, those that are waited for; all where it is None
    max_guesses: int = 0  # other outcomes of the round that the draft may go ahead behind


class DraftLength(NamedTuple):
    """What is asked of the draft."""

    num_draft_tokens: int
    max_ahead_tokens: int
    num_awaited_tokens: int = 0
    max_ahead_guesses: int = 0


class RoundForecast(NamedTuple):
    """What a round with K draft tokens is expected to bring and to take, at place K."""

    tokens: Sequence[float]  # the target's own included
    draft_seconds: Sequence[float]  # waited for the draft
    target_seconds: Sequence[float]  # waited for the verdict
    spared_seconds: Sequence[float] = ()  # that other sessions wait less, in all; none where it is empty
    miss_seconds: Sequence[float] = ()  # waited for the draft where nothing of use was drafted ahead; else 0

    def seconds(self, num_draft_tokens: int) -> float:
        """Return the seconds of a round of a length."""
        return self.draft_seconds[num_draft_tokens] + self.target_seconds[num_draft_tokens]

    def rate(self, num_draft_tokens: int) -> float:
        """Return the tokens a second at a length, where seconds of other sessions count as much as own ones."""
        seconds = self.seconds(num_draft_tokens)
        if self.spared_seconds:
            seconds -= self.spared_seconds[num_draft_tokens]
        return self.tokens[num_draft_tokens] / seconds

    def best(self) -> int:
        """Return the length that promises the most tokens a second."""
        return max(range(len(self.tokens)), key=self.rate)


class Reason(StrEnum):
    """Why a draft length was chosen; `paceline.v1.DraftLengthChoice` has the words."""

    PAYS = "PAYS"
    TARGET_ONLY_FASTER = "TARGET_ONLY_FASTER"
    DRAFT_REFUSED_TOO_OFTEN = "DRAFT_REFUSED_TOO_OFTEN"
    DRAFT_TOO_SLOW = "DRAFT_TOO_SLOW"
    BATCH_FULL = "BATCH_FULL"
    NOT_ENOUGH_TOKENS = "NOT_ENOUGH_TOKENS"
    NOT_MEASURED = "NOT_MEASURED"
    FIXED = "FIXED"
    OFF = "OFF"


# Another length has to promise this much more before it takes the place of the present one.
HYSTERESIS = 1.03
# Draft tokens have to promise this much more than the target alone, because estimates err and the target alone is safe.
LEAST_GAIN = 1.05
# The same where the target decodes alone now.
GAIN_TO_BEGIN = 1.08


def fixed_draft_length(outlook: RoundOutlook) -> DraftLength:
    """Ask for the same number each round, and never for a token that could not be sent.

    The target adds one token of its own, so at most `num_remaining - 1` drafts are of use. Round 0 only brings
    the caches to the prompt, and tells the draft that guesses will be made of what it goes on with.
    Example: wanted 5, remaining 3 -> 2 drafts and nothing ahead of them.
    """
    num_useful = outlook.num_remaining - 1
    num_draft_tokens = min(outlook.num_wanted, num_useful) if outlook.round > 0 else 0
    num_awaited = (
        num_draft_tokens if outlook.num_awaited is None else min(outlook.num_awaited, num_draft_tokens)
    )
    max_ahead = _ahead(outlook, num_useful - num_draft_tokens)
    return DraftLength(num_draft_tokens, max_ahead, num_awaited, outlook.max_guesses if max_ahead else 0)


def best_draft_length(forecast: RoundForecast, present: int) -> int:
    """Return the length that promises the most tokens a second, the present one unless another is clearly better.

    0 is a legal answer, and the one where drafts promise next to nothing.
    Example: 1, 1.5 and 1.75 tokens in 0.10, 0.11 and 0.12 s are 10, 13.6 and 14.6 tokens a second -> 2.
    """
    best, alone = forecast.best(), forecast.rate(0)
    if forecast.rate(best) < (LEAST_GAIN if present else GAIN_TO_BEGIN) * alone:
        return 0
    is_present_good = 0 < present < len(forecast.tokens) and forecast.rate(present) >= LEAST_GAIN * alone
    if is_present_good and forecast.rate(best) < HYSTERESIS * forecast.rate(present):
        return present
    return best


def expected_tokens(acceptances: Sequence[float]) -> Sequence[float]:
    """Return how many tokens a round brings on average, for 0 to all draft tokens, the target's own included.

    Example: each draft token is accepted with 0.5 if those before it are: 1, 1.5, 1.75.
    """
    return list(accumulate(chances_all_accepted(acceptances)))


def chances_all_accepted(acceptances: Sequence[float]) -> Sequence[float]:
    """Return how likely 0, 1, 2... draft tokens are all accepted."""
    return list(accumulate(acceptances, mul, initial=1.0))


def _ahead(outlook: RoundOutlook, num_useful: int) -> int:
    return min(outlook.max_ahead, num_useful) if outlook.num_wanted else 0
