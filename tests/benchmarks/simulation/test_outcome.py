import pytest

from benchmarks.simulation.histogram import Histogram
from benchmarks.simulation.load_plan import Generation, LoadResult
from benchmarks.simulation.outcome import Consumption, outcome_of
from benchmarks.simulation.settings import Settings

# 10 rounds, 8 of them drafted; 1 s, of which 0.6 s models and queues and 0.1 s Redis.
GENERATION = Generation(9, 10, 8, 40, 20, 15, 1.0, 0.2, 0.3, 0.1, 0.4, 0.1, 0.05)
USED = Consumption(0.5, 10.0, 2.0, 1.0, 0.5, 0.25, 3 << 20, 4000, 1500.0)


def result(**values):
    rounds = Histogram()
    rounds.add(0.1)
    return LoadResult(300, 100, 2, rounds, [GENERATION], **values)


def outcome(settings=Settings(), results=(result(),)):  # noqa: B008
    return outcome_of(settings, results, USED, 2)


def test_processes_are_added():
    one, two = outcome(), outcome(results=(result(), result()))
    assert (two.tokens_per_second, two.rounds_per_second) == (60, 20)
    assert (one.tokens_per_second, one.rounds_per_second) == (30, 10)
    assert two.num_open_sessions == 4
    assert (two.tokens_per_round, two.acceptance) == (3, 0.75)


def test_costs_are_those_of_a_round():
    one = outcome()
    assert (one.orchestrator_cpu_ms, one.redis_cpu_ms) == (20, 2.5)
    assert one.start_cpu_ms == 250
    assert (one.orchestrator_cores, one.orchestrator_mib) == (0.2, 3)
    assert (one.redis_commands_per_round, one.redis_commands_per_second) == (40, 400)


def test_outside_the_models_is_neither_their_queue_nor_the_emulated_distance():
    assert outcome().outside_ms == pytest.approx(40)
    assert outcome(Settings(rtt_ms=10)).outside_ms == pytest.approx(30)
    assert outcome(Settings(rtt_ms=10, draft_rtt_ms=5)).outside_ms == pytest.approx(26)


def test_dilated_seconds_are_simulated_ones_again_and_costs_stay_real():
    real, dilated = outcome(), outcome(Settings(dilation=10))
    assert dilated.tokens_per_second == 10 * real.tokens_per_second
    assert dilated.round_ms_p50 == pytest.approx((real.round_ms_p50 or 0) / 10)
    assert dilated.verify_ms == pytest.approx((real.verify_ms or 0) / 10)
    assert dilated.orchestrator_cpu_ms == real.orchestrator_cpu_ms
    assert outcome(Settings(dilation=2, rtt_ms=5)).outside_ms == pytest.approx(30)


def test_failures_of_all_processes_are_counted():
    results = (result(failures={"DRAINING": 1}), result(failures={"DRAINING": 2, "CANCELLED": 1}))
    assert outcome(results=results).failures == {"DRAINING": 3, "CANCELLED": 1}


def test_without_rounds_there_are_no_rates_and_no_means():
    empty = outcome(results=(LoadResult(),))
    assert (empty.tokens_per_second, empty.rounds_per_second) == (0, 0)
    assert (empty.outside_ms, empty.round_ms_p50, empty.acceptance, empty.tokens_per_round) == (None,) * 4
