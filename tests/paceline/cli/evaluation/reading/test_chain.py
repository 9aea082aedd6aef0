"""Rounds walked along an agreement chain."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paceline.cli.evaluation.reading.chain import (
    WalkedRound,
    acceptance_by_place,
    tokens_per_round,
    walk_rounds,
)
from target_service.verification import judge

T, F = True, False
chains = st.lists(st.booleans(), min_size=1, max_size=40)
numbers = st.integers(1, 9)


@pytest.mark.parametrize(
    ("agrees", "num_draft_tokens", "accepted"),
    [
        ([T, T, F, T, T], 2, [2, 2]),
        ([T, T, F, T, T], 3, [2, 2]),
        ([F, F, F], 4, [0, 0, 0]),
        ([T], 5, [1]),
        ([T, F], 1, [1]),
        ([T, T, T, T, F], 4, [4]),
    ],
)
def test_a_round_ends_at_the_first_token_that_the_draft_would_not_choose(
    agrees: list[bool], num_draft_tokens: int, accepted: list[int]
) -> None:
    rounds = walk_rounds(agrees, num_draft_tokens)
    assert [one.num_accepted for one in rounds] == accepted


def test_a_round_is_full_where_all_its_tokens_are_accepted() -> None:
    assert walk_rounds([T, T, F, T, F, T], 2) == [
        WalkedRound(2, is_full=True),
        WalkedRound(1, is_full=False),
        WalkedRound(1, is_full=False),
    ]


@given(chains, numbers)
def test_the_rounds_are_those_that_a_target_would_answer(agrees: list[bool], num_draft_tokens: int) -> None:
    """The text is 0 1 2 ..., and a draft that does not agree at a position proposes -1 there."""
    end = len(agrees)
    text = list(range(end))
    start, accepted = 0, list[int]()
    while start < end:
        num_left = min(num_draft_tokens, end - start)
        drafted = [place if agrees[place] else -1 for place in range(start, start + num_left)]
        verdict = judge([*text[start : start + num_left], start + num_left], drafted)
        accepted.append(verdict.num_accepted)
        start += verdict.num_accepted + 1
    assert [one.num_accepted for one in walk_rounds(agrees, num_draft_tokens)] == accepted


@given(chains, numbers)
def test_the_rounds_bring_the_whole_text_and_no_more(agrees: list[bool], num_draft_tokens: int) -> None:
    rounds = walk_rounds(agrees, num_draft_tokens)
    num_tokens = sum(one.num_accepted + 1 for one in rounds)
    assert num_tokens in {
        len(agrees),
        len(agrees) + 1,
    }  # at the text's end there is no token behind the accepted


@given(st.lists(chains, min_size=1, max_size=5), numbers)
def test_tokens_a_round_lie_between_one_and_all(texts: list[list[bool]], num_draft_tokens: int) -> None:
    assert 1 <= tokens_per_round(texts, num_draft_tokens) <= num_draft_tokens + 1


@given(st.lists(chains, min_size=1, max_size=5), numbers)
def test_shares_by_place_are_shares_of_what_is_reached(
    texts: list[list[bool]], num_draft_tokens: int
) -> None:
    shares = acceptance_by_place(texts, num_draft_tokens)
    assert 1 <= len(shares) <= num_draft_tokens
    assert all(0 <= share <= 1 for share in shares)
    assert 0 not in shares[:-1]  # behind a place where nothing is accepted nothing is reached


def test_a_place_behind_the_end_of_the_text_is_not_judged() -> None:
    assert acceptance_by_place([[T, F], [T, F]], 2) == (1.0, 0.0)
    assert acceptance_by_place([[T]], 3) == (1.0,)
    assert acceptance_by_place([[T, T, T, T], [F, T]], 2) == (pytest.approx(3 / 4), 1.0)
