"""What passes are predicted to take."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paceline.engine.pass_clock import PassClock


def clock_of(*passes: tuple[int, float]) -> PassClock:
    clock = PassClock()
    for num_rows, seconds in passes:
        clock.note(num_rows, seconds)
    return clock


def test_nothing_is_known_before_the_first_pass() -> None:
    assert clock_of().rows_within(1.0) is None


def test_a_line_goes_through_what_was_measured() -> None:
    assert clock_of((1, 0.120), (11, 0.220)).rows_within(0.305) == 19


def test_passes_of_one_size_are_taken_to_cost_so_much_a_row() -> None:
    assert clock_of(*[(5, 0.1)] * 10).rows_within(0.21) == 10


def test_a_bound_below_what_any_pass_takes_holds_no_row() -> None:
    assert clock_of((1, 0.120), (11, 0.220)).rows_within(0.05) == 0


def test_passes_that_get_shorter_with_more_rows_set_no_limit() -> None:
    assert clock_of((1, 0.2), (11, 0.1)).rows_within(0.3) is None


def test_a_machine_that_has_become_slower_is_known_after_some_passes() -> None:
    clock = clock_of(*[(1, 0.1), (11, 0.2)] * 20, *[(1, 0.2), (11, 0.4)] * 40)
    assert clock.rows_within(0.405) == 11


def test_the_base_of_a_pass_is_what_it_takes_whatever_its_rows() -> None:
    assert clock_of((1, 0.120), (11, 0.220)).base_seconds == pytest.approx(0.110, abs=0.001)
    assert clock_of().base_seconds == 0


def test_half_of_passes_of_one_size_counts_as_their_base() -> None:
    assert clock_of(*[(8, 0.2)] * 10).base_seconds == pytest.approx(0.1)


@given(
    base=st.floats(0.001, 1),
    row_price=st.floats(0.0001, 0.1),
    rows=st.lists(st.integers(1, 64), min_size=2, max_size=50),
)
def test_what_fits_is_found_where_passes_are_a_line(base: float, row_price: float, rows: list[int]) -> None:
    clock = clock_of(*[(num, base + num * row_price) for num in (1, 64, *rows)])
    assert clock.rows_within(base + 20.5 * row_price) == pytest.approx(20, abs=0)
