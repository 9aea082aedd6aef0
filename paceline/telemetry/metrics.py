"""Counters, gauges and histograms that cost a fraction of a microsecond to write.

A record of OpenTelemetry's own histogram costs 5 us (docs/decisions/060), which a round with a dozen of them would
notice. These are summed up here instead, and leave as OpenTelemetry's data and in Prometheus' text format.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Generic, NamedTuple, TypeVar

from paceline.telemetry.catalogue import Kind, MetricInfo

# A metric has no more series than this: what comes later is counted together, with OTHER for every label.
MAX_SERIES = 100
OTHER = "other"

Labels = tuple[str, ...]  # values, in the order of `MetricInfo.labels`


class Counter:
    """A number that only grows. One thread may write it, any may read it."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0

    def add(self, amount: int = 1) -> None:
        """Add to it."""
        self.value += amount


class Histogram:
    """How many values fell between bounds, and their sum. One thread may write it, any may read it."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def record(self, value: float) -> None:
        """Count a value; one that equals a bound belongs below it.

        Example: bounds 1 and 2: the values 0.5, 1 and 3 are counted as [2, 0, 1].
        """
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value


I = TypeVar("I", Counter, Histogram)  # noqa: E741, an instrument


class Family(Generic[I]):
    """The series of one metric, by the values of its labels."""

    def __init__(self, info: MetricInfo, make: Callable[[], I]) -> None:
        self.info = info
        self._make = make
        self._series: dict[Labels, I] = {}

    def labelled(self, *values: str) -> I:
        """Return the series with these values of the labels."""
        series = self._series.get(values)
        return series if series is not None else self._new(values)

    def series(self) -> list[tuple[Labels, I]]:
        """Return all series that there are."""
        return list(self._series.items())

    def _new(self, values: Labels) -> I:
        assert len(values) == len(self.info.labels), f"{self.info.name} has the labels {self.info.labels}"
        if len(self._series) >= MAX_SERIES:
            values = (OTHER,) * len(values)
        return self._series.setdefault(values, self._make())


class Point(NamedTuple):
    """The value of a counter or gauge now."""

    labels: Labels
    value: float


class HistogramPoint(NamedTuple):
    """The values of a histogram until now."""

    labels: Labels
    counts: Sequence[int]
    sum: float


class Reading(NamedTuple):
    """A metric and its points; of a histogram they are HistogramPoints."""

    info: MetricInfo
    points: Sequence[Point | HistogramPoint]


Observed = float | Mapping[Labels, float]


class Metrics:
    """The metrics of one process, each made once. Reading them is safe in any thread."""

    def __init__(self) -> None:
        self._families: list[Family[Counter] | Family[Histogram]] = []
        self._observed: list[tuple[MetricInfo, Callable[[], Observed]]] = []

    def counter(self, info: MetricInfo) -> Family[Counter]:
        """Make a counter."""
        assert info.kind is Kind.COUNTER, info.name
        family = Family(info, Counter)
        for value in info.known:
            family.labelled(value)
        self._families.append(family)
        return family

    def histogram(self, info: MetricInfo) -> Family[Histogram]:
        """Make a histogram."""
        assert info.kind is Kind.HISTOGRAM, info.name
        family = Family(info, lambda: Histogram(info.bounds))
        self._families.append(family)
        return family

    def observe(self, info: MetricInfo, read: Callable[[], Observed]) -> None:
        """Have a gauge, or a counter that is kept elsewhere, read whenever metrics leave: in another thread."""
        self._observed.append((info, read))

    def read(self) -> Iterator[Reading]:
        """Yield all metrics that have a value."""
        for family in self._families:
            points = [_point(labels, one) for labels, one in family.series()]
            if points:
                yield Reading(family.info, points)
        for info, read in self._observed:
            values = read()
            by_labels = values if isinstance(values, Mapping) else {(): values}
            if by_labels:  # without points it would have no kind in OpenTelemetry's protocol
                yield Reading(info, [Point(labels, value) for labels, value in by_labels.items()])


def _point(labels: Labels, instrument: Counter | Histogram) -> Point | HistogramPoint:
    if isinstance(instrument, Counter):
        return Point(labels, instrument.value)
    return HistogramPoint(labels, tuple(instrument.counts), instrument.sum)
