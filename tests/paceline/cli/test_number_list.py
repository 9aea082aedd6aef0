"""Numbers with commas between them."""

import pytest

from paceline.cli.number_list import parse_num_draft_tokens, parse_temperatures
from paceline.errors import ConfigError


def test_draft_lengths_are_sorted_and_none_comes_twice() -> None:
    assert parse_num_draft_tokens("8, 3,3,1") == (1, 3, 8)


@pytest.mark.parametrize("text", ["", "0", "65", "3;5", "three", "-1", "1.5"])
def test_other_draft_lengths_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="as in 2,3,5,8"):
        parse_num_draft_tokens(text)


def test_greedy_is_no_temperature() -> None:
    assert parse_temperatures("1,0.7,0,0.7") == (0.7, 1.0)
    assert parse_temperatures("0") == ()


@pytest.mark.parametrize("text", ["", "-0.1", "warm", "inf", "nan", "0.7;1"])
def test_other_temperatures_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"as in 0\.7,1"):
        parse_temperatures(text)
