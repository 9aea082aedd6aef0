"""How many draft tokens a round asks for: a decision, plain data in and plain data out."""

from collections.abc import Sequence
from typing import NamedTuple


class RoundOutlook(NamedTuple):
    """What the decision is made from."""

    round: int
    num_wanted: (
        int  # most draft tokens a round as the request or the configuration has it; 0 turns speculation off
    )
    num_remaining: int  # tokens that may still be generated, at least 1
    max_ahead: int  # draft tokens that the draft may guess past its proposal


class DraftLength(NamedTuple):
    """What is asked of the draft."""

    num_draft_tokens: int
    max_ahead_tokens: int


class RoundForecast(NamedTuple):
    """What rounds of each draft length are expected to bring, and to cost."""

    acceptance: float  # probability that a draft token is accepted if those before it are, 0 to 1
    seconds: Sequence[
        float
    ]  # of a round with K draft tokens at place K, the draft's part on the critical path included


# Another length has to promise this much more before it takes the place of the present one.
HYSTERESIS = 1.03


def fixed_draft_length(outlook: RoundOutlook) -> DraftLength:
    """Ask for the same number each round, and never for a token that could not be sent.

    The target adds one token of its own, so at most `num_remaining - 1` drafts are of use. Round 0 only brings
    the caches to the prompt. Example: wanted 5, remaining 3 -> 2 drafts and nothing ahead of them.
    """
    num_useful = outlook.num_remaining - 1
    if outlook.round == 0:
        return DraftLength(0, _ahead(outlook, num_useful))
    num_draft_tokens = min(outlook.num_wanted, num_useful)
    return DraftLength(num_draft_tokens, _ahead(outlook, num_useful - num_draft_tokens))


def best_draft_length(forecast: RoundForecast, present: int) -> int:
    """Return the length that promises the most tokens a second, the present one unless another is clearly better.

    A round with K drafts brings (1 - a^(K + 1)) / (1 - a) tokens on average at acceptance a. 0 is a legal answer.
    Example: a = 0.5 and seconds [0.10, 0.11, 0.12] promise 10, 13.6 and 14.6 tokens a second -> 2.
    """
    rates = [
        expected_tokens(forecast.acceptance, length) / seconds
        for length, seconds in enumerate(forecast.seconds)
    ]
    best = max(range(len(rates)), key=rates.__getitem__)
    if present < len(rates) and rates[best] < HYSTERESIS * rates[present]:
        return present
    return best


def expected_tokens(acceptance: float, num_draft_tokens: int) -> float:
    """Return how many tokens a round brings on average, the target's own included."""
    return sum(acceptance**place for place in range(num_draft_tokens + 1))


def _ahead(outlook: RoundOutlook, num_useful: int) -> int:
    return min(outlook.max_ahead, num_useful) if outlook.num_wanted else 0
