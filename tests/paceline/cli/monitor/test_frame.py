"""Frames drawn from plain data: they fit whatever terminal there is, and say what matters."""

import itertools
from dataclasses import replace

import pytest
from rich.console import Console

from paceline.cli.monitor.activity import _PARTS
from paceline.cli.monitor.frame import frame
from paceline.cli.monitor.view import View, view_of
from paceline.client.orchestrator_totals import OrchestratorTotals
from paceline.client.replica_state import ReplicaState
from paceline.client.status import DraftStatus, PairStatus, TargetStatus
from tests.paceline.cli.monitor.cases import (
    SMALL,
    answer,
    busy_history,
    engine,
    gone,
    history,
    poll,
    replica,
    session,
    silent,
    status,
)

SIZES = list(itertools.product((20, 60, 80, 100, 120, 200), (1, 5, 15, 24, 50)))


def drawn(view: View, width: int = 80, height: int | None = None) -> str:
    return "\n".join(line.plain.rstrip() for line in frame(view, width, height))


def large_view() -> View:
    """More of everything than fits."""
    targets = tuple(
        TargetStatus(replica(f"target-{number}", f"198.51.100.{number}:7001"), 0.04, ())
        for number in reversed(range(40))
    )
    drafts = tuple(
        DraftStatus(replica(f"draft-{number}", f"203.0.113.{number}:7002", SMALL), 0.01)
        for number in range(30)
    )
    answers = [
        answer(status(number, targets=targets, drafts=drafts), f"192.0.2.{number}:7000")
        for number in range(6)
    ]
    sessions = tuple(session(number) for number in range(90))
    return view_of(history(poll(100.0, *answers, silent(), sessions=sessions)))


def empty_view() -> View:
    nothing = status(
        totals=OrchestratorTotals(), targets=(), drafts=(), num_running_sessions=0, redis_seconds=None
    )
    return view_of(history(poll(100.0, answer(nothing))))


@pytest.mark.parametrize(("width", "height"), SIZES)
@pytest.mark.parametrize("make_view", [large_view, empty_view, lambda: view_of(busy_history())])
def test_a_frame_never_exceeds_the_terminal(make_view, width: int, height: int) -> None:
    lines = frame(make_view(), width, height)
    assert len(lines) <= height
    assert all(line.cell_len <= width for line in lines)


def test_printed_at_its_width_no_line_is_wrapped() -> None:
    console = Console(width=80, no_color=True)
    with console.capture() as capture:
        for line in frame(view_of(busy_history()), 80):
            console.print(line)
    assert len(capture.get().splitlines()) == len(frame(view_of(busy_history()), 80))


def test_the_whole_frame_at_80_columns() -> None:
    assert drawn(view_of(busy_history())) == BUSY


def test_a_wide_terminal_shows_addresses_places_and_whether_drafts_go_ahead() -> None:
    text = drawn(view_of(busy_history()), 140)
    assert "node-0-3:7001" in text
    assert "84% 78% 71% 66%" in text
    assert "0.40" in text
    assert " on" in text


def test_what_does_not_fit_is_counted() -> None:
    text = drawn(large_view(), 80, 40)
    assert "and 2 more orchestrators, 1 of which do not answer" not in text
    assert "and 3 more orchestrators, 1 of which do not answer" in text
    assert text.count("more") == 4
    assert "SESSIONS  90 running" in text


def test_an_orchestrator_that_is_gone_is_shown_beside_the_others() -> None:
    text = drawn(view_of(history(poll(100.0, silent("node-0-9:7000"), answer(status())))))
    assert "node-0-9:7000  nobody answers there" in text
    assert "target-0           ready" in text


def test_with_no_orchestrator_at_all_nothing_is_made_up() -> None:
    text = drawn(view_of(history(poll(100.0, silent()), poll(101.0, silent()))))
    assert "no orchestrator answers" in text
    assert "ready" not in text


def test_what_is_not_known_is_a_dash() -> None:
    text = drawn(empty_view())
    assert "no target is connected" in text
    assert "Redis does not answer" in text
    assert "speed-up -" in text
    assert "ahead hits -" in text
    assert "degraded" not in text


def test_what_an_engine_said_long_ago_is_not_shown() -> None:
    stale = replica("target-0", "node-0-3:7001", engine=engine(age_seconds=60.0))
    shown = view_of(history(poll(100.0, answer(status(targets=(TargetStatus(stale, None, ()),)))))).targets[0]
    assert shown.engine is None


def test_without_rounds_in_the_last_minute_shares_are_since_the_start() -> None:
    text = drawn(view_of(history(poll(100.0, answer(status())), poll(101.0, answer(status())))))
    assert "82% of draft tokens" in text
    assert "since the start" in text
    assert "tokens/s      0.0" in text


def test_reasons_of_the_last_minute_come_first() -> None:
    text = drawn(view_of(busy_history()))
    assert "degraded  DRAFT_LATE 22 (+10)  NO_DRAFT_REPLICA 150" in text
    assert "replicas  target-1 gone CONNECTION_LOST" in text


def test_sessions_that_nobody_serves_come_first() -> None:
    lost, running = session(9, 10, lease_seconds=-3.0), session(1, 500)
    rows = view_of(history(poll(100.0, answer(status()), sessions=(running, lost)))).sessions
    assert [row.session for row in rows] == [lost, running]
    assert [row.has_owner for row in rows] == [False, True]


def test_a_replica_is_as_bad_as_any_orchestrator_sees_it() -> None:
    here, there = status(0), status(1)
    there = replace(there, targets=(TargetStatus(gone("target-0", "node-0-3:7001"), None, ()),))
    view = view_of(history(poll(100.0, answer(here, "a:1"), answer(there, "b:1"))))
    row = view.targets[0]
    assert (row.state, row.reason, row.num_agreeing, row.num_views) == (
        ReplicaState.GONE,
        "CONNECTION_LOST",
        1,
        2,
    )
    assert (row.num_sessions, row.engine is not None) == (4, True)
    assert "gone 1/2" in drawn(view)


def test_every_part_of_a_round_can_be_drawn() -> None:
    parts = [part for parts in _PARTS.values() for part in parts]
    totals = OrchestratorTotals(
        num_rounds_by_drafter={"none": 1},
        round_seconds_by_part=dict.fromkeys((*parts, "of a newer version"), 1.0),
    )
    text = drawn(view_of(history(poll(100.0, answer(status(totals=totals))))), 200)
    assert all(f" {name} " in text for name in (*_PARTS, "other"))


def test_replicas_are_in_the_order_of_their_numbers() -> None:
    assert [row.name for row in large_view().targets] == [f"target-{number}" for number in range(40)]


def test_sessions_of_all_orchestrators_are_added_up_and_acceptance_is_a_mean() -> None:
    def seen(number: int, *pairs: PairStatus):
        target = TargetStatus(replica("target-0", "node-0-3:7001", num_sessions=3), 0.04, pairs)
        return answer(status(number, targets=(target,)), f"192.0.2.{number}:7000")

    view = view_of(
        history(
            poll(
                100.0,
                seen(
                    0,
                    PairStatus("d:1", (0.8, 0.6), is_ahead_on=True),
                    PairStatus("d:2", (), is_ahead_on=True),
                ),
                seen(1, PairStatus("d:1", (0.6,), is_ahead_on=False)),
            )
        )
    )
    row = view.targets[0]
    assert row.num_sessions == 6
    assert row.acceptance == pytest.approx((0.7, 0.6))
    assert (row.num_partners, row.num_ahead) == (2, 1)


def test_prompt_lookup_stands_in_where_no_draft_was_judged() -> None:
    lookup = PairStatus("prompt_lookup", (0.3,), is_ahead_on=False)
    targets = (TargetStatus(replica("target-0", "node-0-3:7001"), 0.04, (lookup,)),)
    row = view_of(history(poll(100.0, answer(status(targets=targets))))).targets[0]
    assert (row.acceptance, row.num_partners) == ((0.3,), 0)


BUSY = """\
paceline  qwen2.5-coder-1.5b-instruct int8 on CPU  drafts by qwen2.5-coder-0.5b…
node-0-2:7000  4 sessions  Redis 0.40 ms  up 2 h 5 min  orchestrator-0-1f2e3d4c…

tokens/s     40.0  ████████  12.0 rounds/s  3.33 tokens a round  speed-up 1.75
accepted  70% of draft tokens  ahead hits -  rounds by model 100%
a round      83.3 ms  ██████▓▓▓▓  █ target 60%  ▓ draft 40%
requests  4 running  118 finished  2 failed  9300 tokens in  11800 tokens out
degraded  DRAFT_LATE 22 (+10)  NO_DRAFT_REPLICA 150
failovers CONNECTION_LOST 1
failed    CANCELLED 2
replicas  target-1 gone CONNECTION_LOST

TARGETS            state     sess  run wait KV         pass/s pass ms accepted
target-0           ready        4    3    0 ███▌░  70%   20.0    42.1      84%
target-1           gone         0    -    - -               -       -        -

DRAFTS             state     sess  run wait KV         pass/s step ms accepted
draft-0            ready        4    3    0 ███▌░  70%    0.0    8.20      84%

SESSIONS  2 running              status          tokens  tok/s    idle target
00000000000000000000000000000007 running       30 + 220   10.0     0 s target-0
00000000000000000000000000000008 running       30 + 170   12.0     0 s target-0"""
