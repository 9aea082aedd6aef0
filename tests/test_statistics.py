"""The statistics that the sampling is judged by."""

import numpy as np
import pytest

from tests.statistics import chi_square_p_value, chi_square_tail, expected_total_variation, fit

PROBS = np.array([0.5, 0.3, 0.15, 0.05, 0.0])


@pytest.mark.parametrize(
    ("statistic", "num_degrees", "expected"),
    [  # from tables of chi-square
        (3.841, 1, 0.05),
        (0.0158, 1, 0.9),
        (18.307, 10, 0.05),
        (2.558, 10, 0.99),
        (124.342, 100, 0.05),
        (149.449, 100, 0.001),
    ],
)
def test_tails_are_those_of_the_tables(statistic: float, num_degrees: int, expected: float) -> None:
    assert chi_square_tail(statistic, num_degrees) == pytest.approx(expected, rel=0.01)


def test_draws_of_the_distribution_itself_fit() -> None:
    generator = np.random.default_rng(0)
    p_values, variations = [], []
    for _ in range(500):
        found = fit(generator.multinomial(20_000, PROBS), PROBS)
        assert found.is_good
        p_values.append(found.p_value)
        variations.append(found.total_variation)
    assert np.mean(p_values) == pytest.approx(0.5, abs=0.05)
    assert np.mean(variations) == pytest.approx(expected_total_variation(PROBS, 20_000), rel=0.05)


def test_draws_of_another_distribution_do_not_fit() -> None:
    other = np.array([0.52, 0.28, 0.15, 0.05, 0.0])
    assert not fit(np.random.default_rng(0).multinomial(20_000, other), PROBS).is_good


def test_the_impossible_never_fits() -> None:
    assert chi_square_p_value(np.array([500, 300, 150, 49, 1]), PROBS) == 0.0


def test_rare_outcomes_are_put_together() -> None:
    probs = np.array([0.9, *[0.1 / 1000] * 1000])
    found = chi_square_p_value(np.random.default_rng(1).multinomial(1000, probs), probs)
    assert 0.01 < found < 1
    assert chi_square_p_value(np.array([10, 0]), np.array([0.99, 0.01])) == 1.0
