"""Numbers that were measured several times."""

from paceline.cli.benchmark.spread import Spread, percentile, spread_of


def test_few_measurements_show_their_extremes() -> None:
    assert spread_of([11.0, 9.0, 10.0]) == Spread(median=10.0, low=9.0, high=11.0, count=3)


def test_many_measurements_show_their_quartiles() -> None:
    assert spread_of([float(one) for one in range(1, 10)]) == Spread(5.0, 3.0, 7.0, 9)


def test_no_measurement_has_no_spread() -> None:
    assert spread_of([]) is None
    assert percentile([], 0.5) is None


def test_percentiles_are_values_that_occurred() -> None:
    values = [float(one) for one in range(1, 101)]
    assert percentile(values, 0.95) == 95.0
    assert percentile([3.0], 0.95) == 3.0
