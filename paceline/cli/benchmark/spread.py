"""A number that was measured several times."""

import statistics
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Spread:
    """Median and quartiles of `count` measurements; with fewer than four, `low` and `high` are the extremes.

    Example: [9, 10, 11] has the median 10, low 9 and high 11.
    """

    median: float
    low: float
    high: float
    count: int


def spread_of(values: Iterable[float]) -> Spread | None:
    """Return the spread of measurements; None where there are none."""
    ordered = sorted(values)
    if not ordered:
        return None
    low, high = ordered[0], ordered[-1]
    if len(ordered) >= 4:
        low, _, high = statistics.quantiles(ordered, n=4, method="inclusive")
    return Spread(statistics.median(ordered), low, high, len(ordered))


def percentile(values: Iterable[float], share: float) -> float | None:
    """Return the value below which a share of the values lies, the nearest rank; None where there are none."""
    ordered = sorted(values)
    if not ordered:
        return None
    return ordered[min(len(ordered) - 1, round(share * (len(ordered) - 1)))]
