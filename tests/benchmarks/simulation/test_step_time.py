import pytest

from benchmarks.simulation.step_time import StepTime
from paceline.errors import ConfigError


@pytest.mark.parametrize(("num_rows", "milliseconds"), [(1, 25.0), (3, 27.5), (5, 30.0), (10, 36.25)])
def test_times_lie_on_lines_between_the_points_and_go_on_behind_the_last(num_rows, milliseconds):
    assert StepTime.parse("1=25,5=30").milliseconds(num_rows) == pytest.approx(milliseconds)


def test_fewer_rows_than_the_first_point_cost_what_it_costs():
    assert StepTime.parse("4=20,8=30").milliseconds(1) == 20


def test_a_time_never_shrinks_behind_the_last_point():
    assert StepTime.parse("1=30,8=20").milliseconds(64) == 20
    assert StepTime.parse("1=30").milliseconds(64) == 30


def test_a_line_has_a_base_and_a_price_for_each_row():
    line = StepTime.line(40, 0.5)
    assert [line.milliseconds(rows) for rows in (1, 2, 64)] == [40.5, 41, 72]


def test_text_and_step_time_are_the_same():
    assert str(StepTime.parse("1=25,5=30.5")) == "1=25,5=30.5"


@pytest.mark.parametrize("text", ["", "1", "1=x", "5=30,1=25", "0=3", "1=-2", "1=2,1=3"])
def test_what_is_no_step_time_is_refused(text):
    with pytest.raises(ConfigError):
        StepTime.parse(text)
