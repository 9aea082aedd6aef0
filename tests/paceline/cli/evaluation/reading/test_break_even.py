"""When drafting just pays."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paceline.cli.evaluation.reading.break_even import break_even_acceptance, expected_tokens


def test_expected_tokens_are_the_sum_of_the_powers() -> None:
    assert expected_tokens(0.5, 2) == 1.75
    assert expected_tokens(0.0, 8) == 1
    assert expected_tokens(1.0, 8) == 9
    assert expected_tokens(0.8, 4) == pytest.approx((1 - 0.8**5) / (1 - 0.8))


def test_the_worked_example() -> None:
    assert break_even_acceptance(1.75, 1.0, 2) == pytest.approx(0.5)


@given(st.floats(0.01, 0.99), st.integers(1, 16), st.floats(0.001, 1.0))
def test_at_the_break_even_both_are_as_fast(acceptance: float, num_draft_tokens: int, step: float) -> None:
    seconds = expected_tokens(acceptance, num_draft_tokens) * step
    assert break_even_acceptance(seconds, step, num_draft_tokens) == pytest.approx(acceptance, abs=1e-6)


@pytest.mark.parametrize("seconds", [3.0, 3.1, 100.0])
def test_a_round_as_long_as_all_its_tokens_never_pays(seconds: float) -> None:
    assert break_even_acceptance(seconds, 1.0, 2) is None


@pytest.mark.parametrize("seconds", [0.9, 1.0])
def test_a_round_that_costs_no_more_than_a_step_always_pays(seconds: float) -> None:
    assert break_even_acceptance(seconds, 1.0, 2) == 0.0
