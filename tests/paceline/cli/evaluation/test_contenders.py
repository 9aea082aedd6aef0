"""What a verdict weighs."""

import pytest

from paceline.cli.evaluation.contenders import contenders_of
from paceline.cli.evaluation.speeds import speeds_of
from tests.paceline.cli.evaluation.made_trials import foreseen, trials_of

TEXTS = {("code", "a"): foreseen("T" * 20), ("code", "b"): foreseen("TF" * 10)}


def test_the_worst_is_of_the_worst_trial_and_the_longest_wait() -> None:
    trials = trials_of(TEXTS, [2])
    found = {one.num_draft_tokens: one for one in contenders_of(trials, speeds_of(trials))}
    assert set(found) == {2, None}
    assert found[2].worst_speed_up == pytest.approx(found[2].speed_up.low)
    assert found[2].worst_speed_up < found[2].speed_up.value
    # A round whose beginning the draft had not foreseen takes 2.2 tokens of the target alone.
    assert found[2].worst_gap_ratio == pytest.approx(2.2)


def test_without_trials_there_is_nothing_to_weigh() -> None:
    assert contenders_of([], []) == []
