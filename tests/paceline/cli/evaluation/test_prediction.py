"""Expected speed-up of a text from where the draft agrees."""

import pytest

from paceline.cli.evaluation.prediction import (
    RoundCosts,
    RoundSample,
    Situation,
    costs_of,
    filled,
    predict_speed_up,
    situation_after,
)
from tests.paceline.cli.evaluation.made_trials import foreseen

EVEN = RoundCosts(2, dict.fromkeys(Situation, 1.5))


def test_a_draft_that_is_always_right_brings_all_its_tokens() -> None:
    # 9 tokens after the first, 3 a round: 3 rounds that cost 1.5.
    assert predict_speed_up(foreseen("T" * 10), EVEN, max_tokens=100) == pytest.approx(9 / (3 * 1.5))


def test_a_draft_that_is_always_wrong_costs_what_its_rounds_cost() -> None:
    assert predict_speed_up(foreseen("F" * 10), EVEN, max_tokens=100) == pytest.approx(1 / 1.5)


def test_no_token_is_drafted_that_could_not_be_sent() -> None:
    # Places 1 to 3; the last two rounds have a draft token and none, and cost 1.25 and 1.
    assert predict_speed_up(foreseen("FFFF"), EVEN, max_tokens=4) == pytest.approx(3 / (1.5 + 1.25 + 1))


def test_each_round_costs_what_the_one_before_made_of_it() -> None:
    costs = RoundCosts(
        2,
        {Situation.FIRST: 5.0, Situation.CONTINUED: 1.0, Situation.REPLACED: 2.0, Situation.MISSED: 3.0},
    )
    # After the prompt's T: TT and the T that it chose itself; TT and F; G; F; T, which ends the text.
    found = predict_speed_up(foreseen("TTTTTTFGFT"), costs, max_tokens=100)
    assert found == pytest.approx(9 / (5.0 + 1.0 + 3.0 + 2.0 + 3.0))


def test_the_first_round_costs_what_the_draft_has_made_of_the_prompt() -> None:
    costs = RoundCosts(2, {Situation.FIRST: 5.0, Situation.FOLLOWED: 2.0, Situation.MISSED: 3.0})
    for pattern, cost in (("TTT", 5.0), ("GTT", 2.0), ("FTT", 3.0)):
        assert predict_speed_up(foreseen(pattern), costs, max_tokens=100) == pytest.approx(2 / cost)


def test_a_text_of_one_token_has_no_speed_up() -> None:
    assert predict_speed_up(foreseen("T"), EVEN, max_tokens=100) is None


@pytest.mark.parametrize(
    ("num_drafted", "num_accepted", "expected"),
    [
        (1, 1, Situation.CONTINUED),
        (2, 2, Situation.FOLLOWED),
        (3, 2, Situation.REPLACED),
        (5, 2, Situation.REPLACED),
        (4, 4, Situation.MISSED),
        (5, 4, Situation.MISSED),
        (0, 0, Situation.MISSED),
        (5, 5, Situation.MISSED),
    ],
)
def test_what_a_round_leaves_to_the_next_one(
    num_drafted: int, num_accepted: int, expected: Situation
) -> None:
    assert situation_after(foreseen("TTTGTF"), 1, num_drafted, num_accepted) is expected


def test_a_stall_in_one_repeat_does_not_count() -> None:
    samples = [
        RoundSample(Situation.MISSED, cost, repeat)
        for repeat, costs in enumerate([[1.0, 2.0], [1.4, 1.6], [1.5, 20.0]])
        for cost in costs
    ]
    found = costs_of(samples, 3)
    assert found is not None
    assert found.by_situation == {Situation.MISSED: 1.5}


def test_what_was_never_measured_costs_what_comes_nearest() -> None:
    found = costs_of([RoundSample(Situation.MISSED, 2.0, 0), RoundSample(Situation.REPLACED, 1.4, 0)], 4)
    assert found is not None
    assert found.of(Situation.CONTINUED, 4) == 1.4
    assert found.of(Situation.FIRST, 2) == 1.2
    assert found.of(Situation.FIRST, 0) == 1.0


def test_a_situation_that_a_number_never_had_is_taken_from_the_nearest_one() -> None:
    costs = RoundCosts(8, {Situation.MISSED: 4.0})
    two = RoundCosts(2, {Situation.MISSED: 2.0, Situation.REPLACED: 1.0, Situation.CONTINUED: 2.0})
    four = RoundCosts(4, {Situation.REPLACED: 1.5})
    found = filled(costs, [two, costs, four]).by_situation
    assert found == {Situation.MISSED: 4.0, Situation.REPLACED: 2.0, Situation.CONTINUED: 5.0}


def test_nothing_measured_predicts_nothing() -> None:
    assert costs_of([], 3) is None
