"""Rates are the differences of totals, whoever comes, goes or starts again meanwhile."""

from dataclasses import replace

import pytest

from paceline.client.orchestrator_totals import OrchestratorTotals
from paceline.client.status import TargetStatus
from tests.paceline.cli.monitor.cases import (
    TOTALS,
    answer,
    busy_history,
    engine,
    grown,
    history,
    poll,
    replica,
    session,
    silent,
    status,
)


def with_engine(age_seconds: float, num_steps: int):
    target = replica("target-0", "node-0-3:7001", engine=engine(num_steps, age_seconds))
    return answer(status(targets=(TargetStatus(target, None, ()),), drafts=()))


def test_one_poll_tells_no_rates() -> None:
    activity = history(poll(100.0, answer(status()))).activity()
    assert (activity.seconds, activity.tokens_per_second, activity.acceptance) == (0.0, None, None)


def test_rates_are_differences_over_the_seconds_between() -> None:
    activity = history(poll(100.0, answer(status())), poll(104.0, answer(grown(status(), 4)))).activity()
    assert activity.tokens_per_second == pytest.approx(40.0)
    assert activity.rounds_per_second == pytest.approx(12.0)
    assert activity.tokens_per_round == pytest.approx(40 / 12)
    assert activity.acceptance == pytest.approx(0.7)
    assert activity.round_seconds == pytest.approx(1 / 12)
    assert activity.time_shares == pytest.approx({"target": 0.6, "draft": 0.4})
    assert activity.drafter_shares == pytest.approx({"model": 1.0})
    assert (activity.ahead_hit_rate, activity.speedup) == (None, None)


def test_a_window_has_the_latest_polls_only() -> None:
    made = busy_history(11)
    assert made.activity(5.0).seconds == pytest.approx(5.0)
    assert made.activity().seconds == pytest.approx(10.0)
    assert made.tokens_per_second == pytest.approx([40.0] * 10)
    made = busy_history(200)
    assert made.activity().seconds == pytest.approx(60.0)
    assert len(made.tokens_per_second) == 60


def test_several_orchestrators_are_added_up() -> None:
    first, second = status(0), status(1)
    made = history(
        poll(100.0, answer(first, "a:1"), answer(second, "b:1")),
        poll(101.0, answer(grown(first, 1), "a:1"), answer(grown(second, 1), "b:1")),
    )
    assert made.activity().tokens_per_second == pytest.approx(80.0)
    assert made.since_start.num_generations == 2 * TOTALS.num_generations


def test_one_orchestrator_behind_two_addresses_counts_once() -> None:
    made = history(
        poll(100.0, answer(status(), "a:1"), answer(status(), "b:1")),
        poll(101.0, answer(grown(status(), 1), "a:1"), answer(grown(status(), 1), "b:1")),
    )
    assert made.activity().tokens_per_second == pytest.approx(40.0)


def test_an_orchestrator_that_starts_again_is_never_a_negative_rate() -> None:
    fresh = status(
        orchestrator="orchestrator-0-another",
        uptime_seconds=0.5,
        totals=OrchestratorTotals(num_tokens_by_origin={"target": 7}),
    )
    made = history(poll(100.0, answer(status())), poll(101.0, answer(fresh)))
    assert made.activity().num_tokens == 7


def test_an_orchestrator_that_was_not_asked_before_begins_at_what_it_has() -> None:
    made = history(poll(100.0, silent()), poll(101.0, answer(status(uptime_seconds=7000.0))))
    assert made.activity().num_tokens == 0


def test_what_was_done_while_an_orchestrator_did_not_answer_is_not_lost() -> None:
    made = history(
        poll(100.0, answer(status())), poll(101.0, silent()), poll(102.0, answer(grown(status(), 2)))
    )
    assert made.activity().num_tokens == 80


def test_passes_are_counted_between_signs_of_life() -> None:
    made = history(poll(100.0, with_engine(0.2, 1000)), poll(101.0, with_engine(0.1, 1022)))
    assert made.passes_per_second("node-0-3:7001") == pytest.approx(20.0)
    assert made.passes_per_second("nobody") is None


def test_two_looks_far_apart_are_enough_to_count_passes() -> None:
    made = history(poll(100.0, with_engine(0.2, 1000)), poll(130.0, with_engine(0.2, 1600)))
    assert made.passes_per_second("node-0-3:7001") == pytest.approx(20.0)


def test_an_engine_that_stands_still_runs_no_passes() -> None:
    made = history(*(poll(100.0 + second, with_engine(0.1, 1000)) for second in range(3)))
    assert made.passes_per_second("node-0-3:7001") == 0.0


def test_an_engine_that_says_nothing_has_no_rate() -> None:
    made = history(*(poll(100.0 + second, with_engine(0.1 + second, 1000)) for second in range(10)))
    assert made.passes_per_second("node-0-3:7001") is None


def test_a_process_that_takes_the_place_of_another_is_counted_anew() -> None:
    made = history(
        poll(100.0, with_engine(0.1, 5000)),
        poll(101.0, with_engine(0.1, 10)),
        poll(102.0, with_engine(0.1, 40)),
    )
    assert made.passes_per_second("node-0-3:7001") == pytest.approx(30.0)


def test_sessions_have_rates_once_they_were_listed_twice() -> None:
    here = answer(status())
    made = history(poll(100.0, here, sessions=(session(1, 100),)))
    assert made.session_rates() == {}
    made.add(poll(102.0, here, sessions=(session(1, 130), session(2, 10))))
    assert made.session_rates() == pytest.approx({session(1).session_id: 15.0})
    unlisted = poll(103.0, here)
    made.add(replace(unlisted, listing=made.polls[-1].listing))
    assert made.session_rates() == pytest.approx({session(1).session_id: 15.0})
