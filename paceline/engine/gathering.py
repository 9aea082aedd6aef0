"""How long a pass waits for sessions that are about to come back: a decision from plain data.

A pass of many rows takes little longer than one of few, so that sessions which miss each other's passes share out a
model's time as if there were several models. And they do so for good: who waits while a pass runs is served by the next
one, and meanwhile the others come back and wait. A moment's patience lets them meet again.
"""

from collections.abc import Iterable
from typing import NamedTuple

# Somebody is looked for a little longer than he usually stays away.
LATENESS = 1.25
LATENESS_SECONDS = 0.002


class Away(NamedTuple):
    """A session between two rounds.

    Attributes:
        since: When its last work ended, on the monotonic clock.
        usual_seconds: How long it stays away.
    """

    since: float
    usual_seconds: float

    @property
    def back_at(self) -> float:
        """When it should be back."""
        return self.since + LATENESS * self.usual_seconds + LATENESS_SECONDS


def patience_seconds(num_here: int, away: Iterable[Away], now: float, base_seconds: float) -> float:
    """Return how long it pays to wait before the next pass; 0 where it does not.

    `base_seconds` is what a pass takes whatever its rows. Waiting `w` for `k` sessions costs each of the `num_here`
    that are here `w`, and spares each of the `k` the rest of a pass that it would miss: k * (base_seconds - w).

    Example: a pass has a base of 120 ms. For 15 of 30 who should be back in 10 ms the 15 others wait: they lose
    150 ms in all, and the 15 win 1650. For one more in 20 ms they do not: it would win 100 and they would lose 600.
    """
    best_gain = best = 0.0
    waits = sorted(wait for one in away if 0 < (wait := one.back_at - now) < base_seconds)
    for num_back, wait in enumerate(waits, start=1):
        gain = num_back * (base_seconds - wait) - num_here * wait
        if gain > best_gain:
            best_gain, best = gain, wait
    return best
