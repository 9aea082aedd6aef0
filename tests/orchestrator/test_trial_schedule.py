"""Trials of draft tokens where none pay: rare, cheap, and only with a draft that is up to the session."""

from collections import Counter
from itertools import pairwise

from orchestrator.interludes import Interludes, InterludesByLoad
from orchestrator.trial_schedule import Rest, TrialSchedule


def rests(
    schedule: TrialSchedule, num_rounds: int, lag: int | None = 0, cost: float = 0.1, **kind
) -> list[Rest]:
    return [schedule.next_round(lag, cost, **({"is_promising": False} | kind)) for _ in range(num_rounds)]


def test_pauses_between_trials_grow():
    tries = [number for number, rest in enumerate(rests(TrialSchedule(), 1200)) if rest is Rest.TRY]
    assert tries[0] == 32
    pauses = [after - before for before, after in pairwise(tries)]
    assert pauses[0] == 65
    assert max(pauses) == 257


def test_a_dear_trial_waits_longer():
    assert Rest.TRY not in rests(TrialSchedule(), 250, cost=2.5)
    assert Rest.TRY in rests(TrialSchedule(), 252, cost=2.5)


def test_a_draft_that_is_behind_is_brought_up_before_it_is_tried():
    schedule = TrialSchedule()
    assert set(rests(schedule, 32, lag=32)) == {Rest.ALONE}
    assert rests(schedule, 1, lag=33) == [Rest.REFRESH]
    assert rests(schedule, 1, lag=None) == [Rest.REFRESH], "it is not there yet, and nobody waits"
    assert rests(schedule, 1, lag=1) == [Rest.TRY]


def test_a_draft_that_never_comes_up_costs_nothing_more():
    chosen = Counter(rests(TrialSchedule(), 400, lag=None))
    assert Rest.TRY not in chosen
    assert chosen[Rest.REFRESH] <= 8 * 4


def test_promising_drafts_are_tried_until_that_has_cost_enough():
    schedule = TrialSchedule()
    assert rests(schedule, 3, cost=1.0, is_promising=True) == [Rest.TRY] * 3
    assert Rest.TRY not in rests(schedule, 100, cost=1.0, is_promising=True)
    assert Counter(rests(schedule, 1000, cost=1.0, is_promising=True))[Rest.TRY] <= 10


def test_bringing_a_draft_up_counts_where_it_takes_the_targets_time():
    schedule = TrialSchedule()
    dear = {"is_promising": True, "refresh_rounds": 3.0}
    assert set(rests(schedule, 300, lag=100, cost=0.2, **dear)) == {Rest.ALONE}
    assert rests(schedule, 21, lag=100, cost=0.2, **dear)[-1] is Rest.REFRESH
    cheap = TrialSchedule()
    assert rests(cheap, 1, lag=8, cost=0.2, is_promising=True, refresh_rounds=2.5) == [Rest.REFRESH]
    assert rests(cheap, 1, lag=0, cost=0.2, is_promising=True) == [Rest.TRY], "that is paid for"
    assert rests(cheap, 1, lag=8, cost=0.2, is_promising=True, refresh_rounds=2.5) == [Rest.ALONE]


def test_sixteen_sessions_do_not_wait_for_what_one_had_to() -> None:
    interludes = InterludesByLoad(8, 64, 256)
    for _ in range(20):
        interludes.next_round(1, 3)
    rounds = [interludes.next_round(16, 4) for _ in range(20 * 16)]
    assert not any(rounds[: 8 * 16 - 1])
    assert sum(rounds) == 4 * 16


def test_interludes_are_all_sessions_together_and_become_rare():
    interludes = Interludes(8, 64, 256)
    num_sessions = 4
    rounds = [interludes.next_round(num_sessions, 3) for _ in range(1000 * num_sessions)]
    assert not any(rounds[: 8 * num_sessions - 1])
    assert sum(rounds) < 0.02 * len(rounds)
    first = rounds.index(True)
    assert all(rounds[first : first + 3 * num_sessions])
    assert sum(rounds[3000:]) <= 3 * num_sessions
