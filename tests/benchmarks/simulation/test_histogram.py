import pytest

from benchmarks.simulation.histogram import Histogram


def histogram_of(values):
    histogram = Histogram()
    for value in values:
        histogram.add(value)
    return histogram


def test_percentiles_are_right_to_one_per_cent():
    histogram = histogram_of(range(1, 1001))
    for share in (0.5, 0.9, 0.99):
        assert histogram.percentile(share) == pytest.approx(1000 * share, rel=0.011)


def test_a_sum_has_the_values_of_all_parts():
    parts = [histogram_of([1.0] * 60), histogram_of([5.0] * 30), histogram_of([9.0] * 10)]
    assert Histogram.sum_of(parts).percentile(0.5) == pytest.approx(1.0, rel=0.011)
    assert Histogram.sum_of(parts).percentile(0.95) == pytest.approx(9.0, rel=0.011)


def test_nothing_has_no_percentile():
    assert Histogram().percentile(0.5) is None
