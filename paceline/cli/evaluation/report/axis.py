"""A linear axis with ticks at round numbers."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

_MOST_STEPS = 5
_ROUND_STEPS = (1, 2, 5, 10)


@dataclass(frozen=True)
class Axis:
    """`low` stands at the pixel `start`, `high` at the pixel `end`; the one may be above the other."""

    low: float
    high: float
    step: float
    start: float
    end: float

    def at(self, value: float) -> float:
        """Return the pixel of a value."""
        share = (value - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 2)

    @property
    def ticks(self) -> tuple[float, ...]:
        """Return the round values from low to high."""
        return tuple(
            self.low + place * self.step for place in range(round((self.high - self.low) / self.step) + 1)
        )

    def digits(self, scale: float) -> int:
        """Return how many digits after the point the ticks need, shown divided by `scale`."""
        return max(0, -math.floor(math.log10(self.step / scale) + 1e-9))


def axis_for(values: Iterable[float], start: float, end: float, scale: float = 1.0) -> Axis:
    """Return an axis that holds all values; ticks are round once divided by `scale`.

    Example: for 0.9 to 1.9 it goes from 0.8 to 2.0 in steps of 0.2.
    """
    known = list(values)
    low, high = min(known) / scale, max(known) / scale
    if high - low < 1e-9 * max(1.0, abs(high)):
        low, high = low - 0.5, high + 0.5
    rough = (high - low) / _MOST_STEPS
    power = 10.0 ** math.floor(math.log10(rough))
    step = power * next(one for one in _ROUND_STEPS if one * power >= rough * (1 - 1e-9))
    return Axis(
        scale * step * math.floor(low / step + 1e-9),
        scale * step * math.ceil(high / step - 1e-9),
        scale * step,
        start,
        end,
    )
