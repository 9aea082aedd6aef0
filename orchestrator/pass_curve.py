"""How many seconds a forward pass of one replica takes, by its rows."""

import math
from bisect import bisect_right
from dataclasses import dataclass

# Before passes of different sizes were seen: a row adds this share of the seconds of one row. docs/decisions/002 has
# 0.05 to 0.1 on one core; a GPU is nearer 0.
_PRIOR_SLOPE = 0.05
# Sizes apart by so many rows say something of the slope.
_LEAST_SPAN_ROWS = 3.0
# A pass of a size that is known well tells how fast the machine is now, so that sizes seen long ago stay comparable.
_LEVEL_SHARE = 0.06
# What a size is foretold to take before it was seen counts so many passes.
_FORETOLD_WEIGHT = 0.25
_WELL_KNOWN = 8.0
_SOME_PASSES = 1.5
_SEEN = 0.8  # of the rows
_MEMORY_PASSES = 64.0
_FARTHEST = 2.5
# The knots are laid again after so many passes, because it takes some time.
_NOTES_A_FIT = 8
_BUCKETS_PER_OCTAVE = 4
_EXACT_ROWS = 8


@dataclass(slots=True)
class _Bucket:
    """Passes of about one size."""

    rows: float
    seconds: float
    weight: float


class Level:
    """How slow the machine is now, relative to when its passes were first seen; curves of one replica share it."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 1.0


class PassCurve:
    """Seconds that never fall with rows: straight lines between the sizes that were seen, and beyond them.

    Sizes are told apart exactly up to 8 rows and by a quarter of an octave above. A new size starts from what the
    others foretell. Seconds are kept relative to a level that follows the speed of the machine.
    Example: 0.10 s at 2 rows and 0.12 s at 6 -> 0.11 s at 4, 0.14 s at 10.
    """

    def __init__(self, level: Level | None = None) -> None:
        self._buckets: dict[int, _Bucket] = {}
        self._level = level or Level()
        self._rows: list[float] = []  # of the knots, ascending
        self._seconds: list[float] = []  # at the knots, never falling, without the level
        self._num_noted = 0
        self._num_unfitted = 0  # since the knots were laid
        self._slope = 0.0  # beyond the last knot and before the first

    @property
    def is_known(self) -> bool:
        """Whether any pass was seen."""
        return bool(self._buckets)

    def has_seen(self, rows: float) -> bool:
        """Whether some passes were about as large as that, or larger."""
        return any(one.rows >= _SEEN * rows and one.weight >= _SOME_PASSES for one in self._buckets.values())

    def note(self, rows: int, seconds: float, share: float = 1.0) -> None:
        """Take in a pass, or the share of it that one of its sessions reports."""
        if not self._buckets:
            self._buckets[_bucket_of(rows)] = _Bucket(rows, seconds / self._level.value, 1.0)
        else:
            self._note_one_more(rows, seconds, share)
        self._num_noted += 1
        self._num_unfitted += 1

    def seconds(self, rows: float) -> float:
        """Return the seconds of a pass with so many rows, 0 before any was seen."""
        if not self._buckets:
            return 0.0
        if self._num_unfitted >= min(_NOTES_A_FIT, 1 + self._num_noted // 4):
            self._fit()
        return self._level.value * self._shape(rows)

    def _note_one_more(self, rows: int, seconds: float, share: float) -> None:
        bucket = self._buckets.get(_bucket_of(rows))
        if bucket is not None:
            expected = self._level.value * bucket.seconds
        else:
            expected = self.seconds(rows)
            bucket = self._buckets[_bucket_of(rows)] = _Bucket(
                rows, expected / self._level.value, _FORETOLD_WEIGHT
            )
        if bucket.weight >= _WELL_KNOWN:
            seconds = min(max(seconds, expected / _FARTHEST), expected * _FARTHEST)
            self._level.value *= (seconds / expected) ** (_LEVEL_SHARE * share)
        bucket.weight = min(bucket.weight + share, _MEMORY_PASSES)
        bucket.rows += (rows - bucket.rows) * share / bucket.weight
        bucket.seconds += (seconds / self._level.value - bucket.seconds) * share / bucket.weight

    def _fit(self) -> None:
        """Pool neighbours that would fall, as isotonic regression does, weighted by what is known of them."""
        self._num_unfitted = 0
        pooled: list[_Bucket] = []
        for _, bucket in sorted(self._buckets.items()):
            pooled.append(_Bucket(bucket.rows, bucket.seconds, bucket.weight))
            while len(pooled) > 1 and pooled[-2].seconds >= pooled[-1].seconds:
                last = pooled.pop()
                _pool(pooled[-1], last)
        self._rows = [one.rows for one in pooled]
        self._seconds = [one.seconds for one in pooled]
        self._slope = self._outer_slope()

    def _outer_slope(self) -> float:
        rows, seconds = self._rows, self._seconds
        prior = _PRIOR_SLOPE * seconds[0] / (1.0 + _PRIOR_SLOPE * (rows[0] - 1.0))
        span = max(self._buckets.values(), key=_rows_of).rows - min(self._buckets.values(), key=_rows_of).rows
        if span < _LEAST_SPAN_ROWS:
            return prior
        return (seconds[-1] - seconds[0]) / span

    def _shape(self, rows: float) -> float:
        knots, seconds = self._rows, self._seconds
        place = bisect_right(knots, rows)
        if place == len(knots):
            return seconds[-1] + self._slope * (rows - knots[-1])
        if place == 0:
            return max(0.3 * seconds[0], seconds[0] - self._slope * (knots[0] - rows))
        share = (rows - knots[place - 1]) / (knots[place] - knots[place - 1])
        return seconds[place - 1] + share * (seconds[place] - seconds[place - 1])


def _bucket_of(rows: int) -> int:
    if rows <= _EXACT_ROWS:
        return rows
    return _EXACT_ROWS + int(_BUCKETS_PER_OCTAVE * math.log2(rows / _EXACT_ROWS))


def _pool(one: _Bucket, other: _Bucket) -> None:
    weight = one.weight + other.weight
    one.rows += (other.rows - one.rows) * other.weight / weight
    one.seconds += (other.seconds - one.seconds) * other.weight / weight
    one.weight = weight


def _rows_of(bucket: _Bucket) -> float:
    return bucket.rows
