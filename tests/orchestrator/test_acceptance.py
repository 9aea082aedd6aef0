"""Acceptance by place: what was judged counts, what was not is taken from its neighbours."""

import pytest

from orchestrator.acceptance import AcceptanceHistory


def test_only_judged_draft_tokens_count():
    history = AcceptanceHistory()
    for _ in range(200):
        history.note(4, 1)  # the first is accepted, the second refused, nobody knows of the others
    first, second, third, fourth = history.estimates(4)
    assert first > 0.95
    assert second < 0.1
    assert third == pytest.approx(second), "a place that was never reached is as the one before it"
    assert fourth == pytest.approx(second)


def test_places_that_differ_are_told_apart():
    history = AcceptanceHistory()
    for number in range(300):
        history.note(2, 2 if number % 2 else 1)
    first, second = history.estimates(2)
    assert first > 0.95
    assert second == pytest.approx(0.5, abs=0.05)


def test_recent_rounds_count_most():
    history = AcceptanceHistory()
    for _ in range(200):
        history.note(1, 1)
    for _ in range(80):
        history.note(1, 0)
    assert history.estimates(1)[0] < 0.25


def test_a_session_begins_with_what_others_have_shown():
    others = AcceptanceHistory()
    for _ in range(100):
        others.note(2, 1)
    session = AcceptanceHistory(others.estimates(2))
    assert session.estimates(2) == pytest.approx(others.estimates(2))


def test_hope_shrinks_with_what_is_known():
    little, much = AcceptanceHistory(), AcceptanceHistory()
    little.note(1, 0)
    for _ in range(200):
        much.note(1, 0)
    assert little.optimistic(1)[0] > little.estimates(1)[0] + 0.15
    assert much.optimistic(1)[0] < 0.1
    assert all(0 <= one <= 1 for one in AcceptanceHistory((1.0, 1.0)).optimistic(2))
