"""Seconds of a pass by its rows: between what was seen, beyond it, and while the machine changes."""

import random

import pytest

from orchestrator.pass_curve import Level, PassCurve


def curve_of(*passes: tuple[int, float], num_times: int = 20) -> PassCurve:
    curve = PassCurve()
    for _ in range(num_times):
        for rows, seconds in passes:
            curve.note(rows, seconds)
    return curve


def test_between_and_beyond_what_was_seen_it_is_a_straight_line():
    curve = curve_of((2, 0.10), (6, 0.12))
    assert curve.seconds(2) == pytest.approx(0.10, rel=0.01)
    assert curve.seconds(4) == pytest.approx(0.11, rel=0.01)
    assert curve.seconds(10) == pytest.approx(0.14, rel=0.01)


def test_one_size_alone_lets_rows_cost_a_little():
    curve = curve_of((1, 0.1))
    assert curve.seconds(1) == pytest.approx(0.1)
    assert 0.1 < curve.seconds(5) < 0.15


def test_it_never_falls_with_rows():
    random_, curve = random.Random(7), PassCurve()
    for _ in range(300):
        rows = random_.randrange(1, 65)
        curve.note(rows, 0.03 * random_.lognormvariate(0.0, 0.15))
    seconds = [curve.seconds(rows) for rows in range(1, 129)]
    assert seconds == sorted(seconds)
    assert seconds[0] == pytest.approx(0.03, rel=0.15)
    assert seconds[63] == pytest.approx(0.03, rel=0.15), "a pass that is flat stays flat under noise"


def test_a_pass_that_was_interrupted_changes_little():
    curve = curve_of((4, 0.1))
    curve.note(4, 10.0)
    assert curve.seconds(4) < 0.12


def test_sizes_seen_long_ago_follow_the_speed_of_the_machine():
    curve = curve_of((1, 0.10), (6, 0.15))
    for _ in range(200):
        curve.note(6, 0.30)
    assert curve.seconds(6) == pytest.approx(0.30, rel=0.05)
    assert curve.seconds(1) > 0.14, "nobody has seen 1 row since, and it will have become slower too"


def test_curves_of_one_replica_share_its_level():
    level = Level()
    one, other = PassCurve(level), PassCurve(level)
    for _ in range(20):
        one.note(1, 0.1)
        other.note(4, 0.2)
    for _ in range(200):
        other.note(4, 0.4)
    assert one.seconds(1) > 0.15


def test_each_session_of_a_pass_counts_a_share_of_it():
    shared, single = PassCurve(), PassCurve()
    for _ in range(10):
        for _ in range(4):
            shared.note(8, 0.1, 0.25)
        single.note(8, 0.1)
    for _ in range(4):
        shared.note(8, 0.2, 0.25)
    single.note(8, 0.2)
    assert shared.seconds(8) == pytest.approx(single.seconds(8), rel=0.1)
