"""Drawings in one row of text."""

import pytest

from paceline.cli.monitor.gauges import bar, fair_rows, sparkline, split


def test_a_sparkline_shows_the_latest_values_against_the_highest() -> None:
    assert sparkline([0, 2, 4], 4) == " ▁▄█"
    assert sparkline([100, 0, 2, 4], 3) == "▁▄█"
    assert sparkline([0, 0], 3) == " ▁▁"
    assert sparkline([], 3) == "   "
    assert sparkline([1.0], 0) == ""


@pytest.mark.parametrize("share", [-1.0, 0.0, 0.01, 0.33, 0.5, 0.999, 1.0, 7.0])
@pytest.mark.parametrize("width", [1, 3, 10])
def test_a_bar_has_its_width_whatever_the_share(share: float, width: int) -> None:
    assert len(bar(share, width)) == width


def test_a_bar_is_exact_to_an_eighth() -> None:
    assert (bar(0.5, 3), bar(0.0, 3), bar(1.0, 3)) == ("█▌░", "░░░", "███")


@pytest.mark.parametrize("shares", [[0.55, 0.33, 0.12], [1.0], [0.25] * 4, [0.999, 0.001]])
@pytest.mark.parametrize("total", [1, 10, 37])
def test_columns_together_are_the_total(shares: list[float], total: int) -> None:
    assert sum(split(total, shares)) == total


def test_columns_follow_the_shares() -> None:
    assert split(10, [0.55, 0.33, 0.12]) == [6, 3, 1]
    assert split(10, []) == []


@pytest.mark.parametrize("available", [-3, 0, 1, 5, 10, 100])
def test_rows_are_never_more_than_there_are_or_are_wanted(available: int) -> None:
    wanted = [2, 9, 4]
    given = fair_rows(available, wanted)
    assert sum(given) == min(max(0, available), sum(wanted))
    assert all(some <= most for some, most in zip(given, wanted, strict=True))


def test_nobody_gets_less_than_an_equal_share_that_wants_it() -> None:
    assert fair_rows(10, [2, 9, 4]) == [2, 4, 4]
