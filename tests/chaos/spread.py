"""Median, tail and worst of seconds."""

from collections.abc import Sequence
from statistics import median
from typing import NamedTuple


class Spread(NamedTuple):
    """Of values in seconds."""

    median: float
    p99: float
    worst: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Return the spread of values; all 0 where there are none. p99 is the lowest that 99% do not exceed."""
        if not values:
            return cls(0.0, 0.0, 0.0)
        ordered = sorted(values)
        return cls(median(ordered), ordered[-(-99 * len(ordered) // 100) - 1], ordered[-1])

    def __str__(self) -> str:
        return f"median {self.median:.3f} s, p99 {self.p99:.3f} s, worst {self.worst:.3f} s"
