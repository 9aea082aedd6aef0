"""Many durations in little room, so that processes can send and add them."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

# Each bucket is one per cent wider than the one before it.
_RATIO = math.log(1.01)


@dataclass
class Histogram:
    """Counts by bucket; a percentile is right to one per cent.

    Attributes:
        counts: Number of values v with floor(log(v) / log(1.01)) at each key.
    """

    counts: dict[int, int] = field(default_factory=dict[int, int])

    def add(self, value: float) -> None:
        """Count a value above 0."""
        bucket = math.floor(math.log(max(value, 1e-9)) / _RATIO)
        self.counts[bucket] = self.counts.get(bucket, 0) + 1

    def percentile(self, share: float) -> float | None:
        """Return the middle of the bucket below whose end a share of the values lies; None without values."""
        left = share * sum(self.counts.values())
        for bucket in sorted(self.counts):
            left -= self.counts[bucket]
            if left <= 0:
                return math.exp((bucket + 0.5) * _RATIO)
        return None

    @classmethod
    def sum_of(cls, parts: Iterable["Histogram"]) -> "Histogram":
        """Return all values of several histograms in one."""
        total = cls()
        for part in parts:
            for bucket, count in part.counts.items():
                total.counts[bucket] = total.counts.get(bucket, 0) + count
        return total
