"""What is kept of a trial."""

import pytest

from paceline.cli.benchmark.process_usage import ProcessUsage
from paceline.cli.benchmark.trial import TARGET_ONLY, Variant
from paceline.cli.evaluation.measured_trial import cpu_seconds_by_pool, memory_by_pool
from tests.paceline.cli.evaluation.made_trials import TOKEN_SECONDS, alone, drafted, foreseen, trial

CODE, PROSE = ("code", "a"), ("prose", "b")


def test_replicas_of_a_pool_count_together_and_redis_with_the_rounds() -> None:
    names = ("redis", "target-0", "draft-0", "draft-1", "orchestrator")
    before = {name: ProcessUsage(1.0, 100, 50) for name in names}
    after = {name: ProcessUsage(1.0 + number, 100, 50) for number, name in enumerate(names)}
    assert cpu_seconds_by_pool(before, after) == {"orchestrator": 4.0, "target": 1.0, "draft": 5.0}
    assert memory_by_pool(after) == {"orchestrator": 200, "target": 100, "draft": 200}


def test_a_process_that_was_not_read_twice_does_not_count() -> None:
    usage = {"target-0": ProcessUsage(1.0, 100, 50)}
    assert cpu_seconds_by_pool({}, usage) == {}


def test_speed_is_that_after_the_first_arrival() -> None:
    assert alone(CODE, 11).tokens_per_second == pytest.approx(1 / TOKEN_SECONDS)
    assert alone(CODE, 1).tokens_per_second is None


def test_sessions_at_once_are_added_up() -> None:
    both = trial(TARGET_ONLY, alone(CODE, 5), alone(PROSE, 9))
    assert both.tokens_per_second == pytest.approx(2 / TOKEN_SECONDS)
    assert (both.kind, both.num_tokens) == ("all", 14)
    assert trial(TARGET_ONLY, alone(CODE, 5), alone(PROSE, 1)).tokens_per_second is None


def test_trials_of_one_repeat_and_prompt_belong_together() -> None:
    one = trial(TARGET_ONLY, alone(CODE, 5), repeat=1)
    assert one.key == trial(Variant(3), drafted(CODE, foreseen("TTFTT"), 3), repeat=1).key
    assert one.key != trial(TARGET_ONLY, alone(CODE, 5), repeat=2).key
    assert one.key != trial(TARGET_ONLY, alone(PROSE, 5), repeat=1).key
