"""How much is measured."""

from itertools import pairwise

import pytest

from paceline.cli.evaluation.amount import DEFAULT, QUICK, THOROUGH, Amount, prompts_per_kind
from paceline.cli.evaluation.section import Section


@pytest.mark.parametrize(("num_kinds", "expected"), [(5, 2), (3, 2), (2, 4), (1, 10), (9, 2)])
def test_fewer_kinds_have_more_prompts_each(num_kinds: int, expected: int) -> None:
    assert prompts_per_kind(2, num_kinds) == expected


def test_each_amount_is_more_than_the_one_before() -> None:
    for less, more in pairwise((QUICK, DEFAULT, THOROUGH)):
        assert _num_tokens(less) < _num_tokens(more)
        assert sum(less.minutes.values()) < sum(more.minutes.values())
        assert set(less.num_draft_tokens) <= set(more.num_draft_tokens)


def test_the_quick_one_still_has_an_interval_and_ends_in_time() -> None:
    assert QUICK.speed.num_repeats >= 3
    assert sum(QUICK.minutes.get(section, 0) for section in QUICK.sections) < 14


def test_what_loads_every_format_is_no_part_of_the_quick_one() -> None:
    assert set(Section) - set(QUICK.sections) == {Section.QUANTISATION}
    assert set(DEFAULT.sections) == set(THOROUGH.sections) == set(Section)


@pytest.mark.parametrize("amount", [QUICK, DEFAULT, THOROUGH], ids=lambda amount: amount.name)
def test_every_answer_that_is_timed_is_read_too(amount: Amount) -> None:
    assert amount.acceptance.prompts_per_kind >= amount.speed.prompts_per_kind
    assert amount.acceptance.max_tokens >= amount.speed.max_tokens


def _num_tokens(amount: Amount) -> int:
    speed = amount.speed
    return speed.prompts_per_kind * speed.max_tokens * speed.num_repeats * (len(amount.num_draft_tokens) + 2)
