"""What a session's rounds tell of the next ones."""

import pytest

from orchestrator.pair_record import PairRecord
from orchestrator.round_history import RoundHistory
from orchestrator.round_report import RoundReport
from orchestrator.rounds import Proposal, RoundTiming

TIMING = RoundTiming(0.0, 0.1, 0, 1, 3, 1)


def noted(num_wanted: int, num_drafted: int, num_ahead: int) -> RoundHistory:
    """A history of forty rounds, all draft tokens of which were accepted."""
    history = RoundHistory(PairRecord(), 8, can_go_ahead=True)
    proposal = Proposal(range(num_drafted), num_ahead, TIMING)
    report = RoundReport(num_wanted, num_drafted, num_drafted, proposal, 0.0, 0.1, TIMING)
    for _ in range(40):
        history.note(report, was_ahead=True)
    return history


def test_a_proposal_of_fewer_tokens_than_were_wanted_tells_how_far_the_draft_gets_ahead() -> None:
    assert noted(8, num_drafted=2, num_ahead=2).hits.num_covered.value == pytest.approx(2.0, abs=0.1)


def test_a_proposal_whose_last_tokens_had_to_be_waited_for_tells_it_too() -> None:
    assert noted(4, num_drafted=4, num_ahead=2).hits.num_covered.value == pytest.approx(2.0, abs=0.1)


def test_a_proposal_that_had_all_tokens_ready_does_not_tell_how_many_more_there_were() -> None:
    assert noted(2, num_drafted=2, num_ahead=2).hits.num_covered.value == pytest.approx(5.0)


def test_a_miss_tells_nothing_of_how_far_it_gets() -> None:
    assert noted(4, num_drafted=4, num_ahead=0).hits.num_covered.value == pytest.approx(5.0)


@pytest.mark.parametrize(("draft_seconds", "expected"), [(0.05, 0.0), (0.005, 0.5)])
def test_waiting_for_a_draft_in_vain_is_a_miss(draft_seconds: float, expected: float) -> None:
    history = RoundHistory(PairRecord(), 8, can_go_ahead=True)
    report = RoundReport(4, 0, 0, None, draft_seconds, 0.1, TIMING)
    for _ in range(40):
        history.note(report, was_ahead=True)
    assert history.hits.after_accepted.value == pytest.approx(expected, abs=0.1)
