"""The patience with a draft follows what its answers take."""

import pytest

from orchestrator.answer_clock import AnswerClock


def clock_of(*answers: tuple[int, float]) -> AnswerClock:
    clock = AnswerClock()
    for num_steps, seconds in answers:
        clock.note(num_steps, seconds)
    return clock


def test_before_some_answers_the_patience_is_the_longest():
    clock = clock_of(*[(6, 0.3)] * 7)
    assert clock.patience_seconds(6, 9.0) == 9.0
    clock.note(6, 0.3)
    assert clock.patience_seconds(6, 9.0) < 9.0


def test_the_patience_is_some_times_what_answers_take():
    clock = clock_of(*[(6, 0.3)] * 8)
    assert clock.patience_seconds(6, 9.0) == pytest.approx(1.2)
    assert clock.patience_seconds(3, 9.0) == pytest.approx(0.6)


def test_the_patience_is_longer_with_a_draft_whose_answers_vary():
    steady, varying = clock_of(*[(6, 0.3)] * 40), clock_of(*[(6, 0.1), (6, 0.5)] * 20)
    assert varying.patience_seconds(6, 9.0) > 1.3 * steady.patience_seconds(6, 9.0)


def test_the_patience_stays_between_its_bounds():
    quick = clock_of(*[(6, 0.006)] * 8)
    assert quick.patience_seconds(6, 2.0) == 0.5
    assert quick.patience_seconds(6, 0.05) == 0.05, "the configured longest is never passed"
    assert clock_of(*[(6, 60.0)] * 8).patience_seconds(6, 2.0) == 2.0


def test_the_expectation_follows_the_load():
    clock = clock_of(*[(5, 0.05)] * 8, *[(5, 0.5)] * 20)
    assert clock.seconds_per_step == pytest.approx(0.1, rel=0.01)
    for _ in range(20):
        clock.note(5, 0.05)
    assert clock.seconds_per_step == pytest.approx(0.01, rel=0.05)


def test_an_answer_that_was_drafted_ahead_counts_as_one_pass():
    assert clock_of((0, 0.02)).seconds_per_step == 0.02
