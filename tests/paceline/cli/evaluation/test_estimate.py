"""Medians with confidence intervals."""

import numpy as np
import pytest

from paceline.cli.evaluation.estimate import estimate_of, paired_ratios


def test_a_single_measurement_is_its_own_interval() -> None:
    found = estimate_of([1.5])
    assert (found.value, found.low, found.high, found.count) == (1.5, 1.5, 1.5, 1)


def test_three_measurements_reach_from_the_lowest_to_the_highest() -> None:
    found = estimate_of([1.2, 1.0, 1.1])
    assert (found.value, found.low, found.high, found.count) == (1.1, 1.0, 1.2, 3)


def test_the_same_measurements_have_the_same_interval() -> None:
    values = np.random.default_rng(1).normal(2.0, 0.5, 40).tolist()
    assert estimate_of(values) == estimate_of(values)


def test_many_measurements_at_once_are_as_sure_as_they_should_be() -> None:
    values = np.random.default_rng(2).normal(2.0, 0.5, 2500).tolist()
    found = estimate_of(values)
    assert found.low < found.value < found.high
    assert found.high - found.low == pytest.approx(4 * 0.5 * 1.2533 / 50, rel=0.3)


def test_the_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    generator = np.random.default_rng(3)
    found = [estimate_of(generator.normal(0.0, 1.0, 30).tolist(), seed) for seed in range(100)]
    assert 86 <= sum(one.low <= 0 <= one.high for one in found) <= 100


def test_only_pairs_are_compared() -> None:
    assert paired_ratios({"a": 3.0, "b": 4.0}, {"a": 2.0, "c": 1.0}) == [1.5]
