"""A mean of what was observed lately."""

# An observation farther off than so many times the mean, or so small a part of it, is drawn in to there: a machine that
# was busy elsewhere for a moment is no news.
_FARTHEST = 3.0
_FEWEST_TO_JUDGE = 4


class MovingMean:
    """The mean of a quantity that is never negative; the latest `memory` observations make up most of it.

    `value` is a guess of the weight of `weight` observations at first, and wears off like an observation.
    Example: a guess of 4 with the weight of 1, then 6 and 8 -> 6.
    """

    __slots__ = ("_memory", "value", "weight")

    def __init__(self, value: float, weight: float, memory: float) -> None:
        self.value = value
        self.weight = weight
        self._memory = memory

    def note(self, observed: float) -> None:
        """Take in an observation; one that is far off counts less."""
        if self.weight >= _FEWEST_TO_JUDGE and self.value > 0:
            observed = min(max(observed, self.value / _FARTHEST), self.value * _FARTHEST)
        self.add(observed)

    def add(self, observed: float) -> None:
        """Take in an observation as it is: a share, for example, whose observations are 0 and 1."""
        self.weight = min(self.weight + 1.0, self._memory)
        self.value += (observed - self.value) / self.weight
