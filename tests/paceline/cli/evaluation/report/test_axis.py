import pytest
from hypothesis import given
from hypothesis import strategies as st

from paceline.cli.evaluation.report.axis import axis_for

VALUES = st.lists(st.floats(min_value=0.0, max_value=1e6, allow_subnormal=False), min_size=1, max_size=8)


def test_ticks_are_round():
    assert axis_for([0.93, 1.87], 180, 20).ticks == pytest.approx((0.8, 1.0, 1.2, 1.4, 1.6, 1.8, 2.0))
    assert axis_for([0.0, 0.312], 0, 300, scale=0.001).ticks == pytest.approx((0.0, 0.1, 0.2, 0.3, 0.4))


def test_as_many_digits_are_shown_as_ticks_differ_by():
    assert axis_for([0.93, 1.87], 180, 20).digits(1.0) == 1
    assert axis_for([0.0, 0.312], 0, 300, scale=0.001).digits(0.001) == 0
    assert axis_for([1.0, 1.04], 0, 300).digits(1.0) == 2


@given(VALUES)
def test_all_values_stand_between_the_ends(values):
    axis = axis_for(values, 180, 20)
    assert all(20 - 0.01 <= axis.at(value) <= 180 + 0.01 for value in values)
    assert 2 <= len(axis.ticks) <= 8
