"""What a round is foretold to take: what its rows cost all sessions of its pass, and what they cost alone."""

import pytest

from orchestrator.pair_record import PairRecord
from orchestrator.replica_pace import DraftPace, TargetPace
from orchestrator.round_forecast import Partners, Supposition, forecast_round
from orchestrator.round_history import RoundHistory
from orchestrator.round_report import RoundReport
from orchestrator.rounds import Proposal, RoundTiming
from tests.orchestrator.simulated_pools import one_core

NUM_SESSIONS = 8


def history_of(
    pair: PairRecord, target: TargetPace, num_drafted: int, num_rows_of_others: int
) -> RoundHistory:
    """Return a session's history of rounds beside seven others that have so many rows each."""
    history = RoundHistory(pair, 4, can_go_ahead=False)
    for own in (0, num_drafted) * 20:
        rows = own + 1 + (NUM_SESSIONS - 1) * num_rows_of_others
        timing = RoundTiming(0.0, one_core(rows), 0, 1, rows, NUM_SESSIONS)
        target.note(timing.compute_seconds, timing, NUM_SESSIONS, own)
        if own == num_drafted:
            proposal = Proposal(range(own), 0, RoundTiming(0.0, 0.0, 0, 1)) if own else None
            report = RoundReport(own, own, own, proposal, 0.0, timing.compute_seconds, timing)
            history.note(report, was_ahead=False)
    return history


def test_equal_sessions_are_taken_to_move_together():
    pair, target = PairRecord(), TargetPace()
    history = history_of(pair, target, 0, 1)
    forecast = forecast_round(history, Partners(target, NUM_SESSIONS, None, 0, pair), 4)
    assert forecast is not None
    assert forecast.target_seconds[0] == pytest.approx(one_core(NUM_SESSIONS), rel=0.05)
    assert forecast.target_seconds[2] > 1.4 * forecast.target_seconds[0], "not 2 rows more but 16"


def test_a_session_that_drafts_beside_others_that_do_not_pays_for_what_it_costs_them():
    pair, target = PairRecord(), TargetPace()
    history = history_of(pair, target, 4, 1)
    forecast = forecast_round(history, Partners(target, NUM_SESSIONS, None, 0, pair), 4)
    assert forecast is not None
    assert forecast.target_seconds[4] == pytest.approx(one_core(NUM_SESSIONS + 4), rel=0.1), "its own round"
    assert forecast.spared_seconds[0] > 2 * (forecast.target_seconds[4] - forecast.target_seconds[0])
    assert forecast.spared_seconds[4] == pytest.approx(0.0, abs=0.02)


def test_a_draft_that_is_free_or_a_pass_that_is_flat_can_be_supposed():
    pair, target, draft = PairRecord(), TargetPace(), DraftPace()
    history = history_of(pair, target, 4, 5)
    draft.note(0.5, RoundTiming(0.0, 0.4, 0, 4))
    partners = Partners(target, NUM_SESSIONS, draft, 1, pair)
    measured = forecast_round(history, partners, 4)
    free = forecast_round(history, partners, 4, Supposition(is_draft_free=True))
    flat = forecast_round(history, partners, 4, Supposition(is_pass_flat=True))
    assert measured is not None
    assert free is not None
    assert flat is not None
    assert measured.draft_seconds[4] == pytest.approx(0.5, rel=0.01), (
        "a round trip of 0.1 s and four steps of 0.1 s"
    )
    assert list(free.draft_seconds) == [0.0] * 5
    assert set(flat.target_seconds) == {measured.target_seconds[0]}


def test_nothing_is_foretold_before_the_first_pass():
    pair = PairRecord()
    history = RoundHistory(pair, 4, can_go_ahead=True)
    assert forecast_round(history, Partners(TargetPace(), 1, DraftPace(), 0, pair), 4) is None
