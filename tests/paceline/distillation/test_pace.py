"""Budgets and rates."""

import pytest

from paceline.distillation.pace import Budget, rate_share


def test_the_first_limit_counts() -> None:
    budget = Budget(seconds=100, num_tokens=1000)
    assert budget.progress(10, 500) == budget.progress(50, 10) == pytest.approx(0.5)
    assert budget.progress(101, 0) == budget.progress(0, 2000) == 1.0
    assert Budget(num_tokens=10).progress(1e9, 5) == pytest.approx(0.5)
    assert Budget(seconds=0.0).progress(0.1, 0) == 1.0


def test_the_rate_rises_stays_and_falls_to_nothing() -> None:
    assert rate_share(0, 0.0) == pytest.approx(0.01)
    assert rate_share(49, 0.1) == pytest.approx(0.5)
    assert rate_share(1000, 0.1) == rate_share(5000, 0.5) == 1.0
    falling = [rate_share(5000, progress) for progress in (0.7, 0.8, 0.9, 1.0)]
    assert falling == sorted(falling, reverse=True)
    assert falling[-1] == 0.0
