"""Rounds from when text arrived, and what they took."""

import pytest

from paceline.cli.benchmark.trial import TARGET_ONLY, Variant
from paceline.cli.evaluation.prediction import Situation
from paceline.cli.evaluation.round_costs import round_costs_of
from paceline.cli.evaluation.rounds import rounds_of
from tests.paceline.cli.evaluation.made_trials import (
    COSTS,
    TOKEN_SECONDS,
    alone,
    drafted,
    foreseen,
    trial,
    trials_of,
)

CODE = ("code", "a")


def test_each_arrival_after_the_first_is_a_round() -> None:
    found = rounds_of(drafted(CODE, foreseen("TTTTFTTT"), 2))
    assert [one.place for one in found] == [1, 4, 5]
    assert [one.num_tokens for one in found] == [3, 1, 3]
    assert [one.num_draft_tokens for one in found] == [2, 2, 2]
    assert [one.is_full for one in found] == [True, False, True]


def test_rounds_after_full_ones_are_told_from_the_others() -> None:
    # The draft is right throughout, or never: what follows is then always the same situation.
    [right] = round_costs_of(trials_of({CODE: foreseen("T" * 30)}, [3]))
    assert right.seconds_after_full == pytest.approx(COSTS[Situation.CONTINUED] * TOKEN_SECONDS)
    assert right.seconds_after_partial is None
    [wrong] = round_costs_of(trials_of({CODE: foreseen("F" * 30)}, [3]))
    assert wrong.seconds_after_full is None
    assert wrong.seconds_after_partial == pytest.approx(COSTS[Situation.MISSED] * TOKEN_SECONDS)
    assert wrong.num_rounds > 3 * 20


def test_each_number_of_draft_tokens_has_costs_of_its_own() -> None:
    found = round_costs_of(trials_of({CODE: foreseen("TTTFTTTTFT" * 3)}, [2, 4]))
    assert [one.num_draft_tokens for one in found] == [2, 4]


def test_an_answer_that_is_too_short_for_a_cost_has_none() -> None:
    [found] = round_costs_of(
        [trial(TARGET_ONLY, alone(CODE, 2)), trial(Variant(4), drafted(CODE, foreseen("TT"), 4))]
    )
    assert (found.seconds_after_full, found.seconds_after_partial, found.num_rounds) == (None, None, 0)
