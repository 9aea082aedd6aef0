"""No minute has more than a limit, and the wait that is told is enough and no longer than it must be."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.sliding_minute import SlidingMinute

PAUSES = st.floats(0, 90)
SLOT_SECONDS = 2.0


@given(st.lists(st.tuples(PAUSES, st.integers(0, 9)), max_size=40), PAUSES)
def test_what_counts_is_the_last_minute_and_at_most_a_slot_more(uses, last_pause):
    minute, now, times = SlidingMinute(), 1000.0, []
    for pause, amount in uses:
        now += pause
        minute.add(now, amount)
        times.append((now, amount))
    now += last_pause
    least = sum(amount for at, amount in times if at > now - 60)
    most = sum(amount for at, amount in times if at > now - 60 - 2 * SLOT_SECONDS)
    assert least <= minute.total(now) <= most


@given(st.lists(PAUSES, min_size=1, max_size=60), st.integers(1, 5))
def test_requests_within_a_limit_are_never_more_than_it_in_any_minute(pauses, limit):
    minute, now, admitted = SlidingMinute(), 1000.0, []
    for pause in pauses:
        now += pause / 10
        if minute.wait_seconds(now, limit) == 0:
            minute.add(now, 1)
            admitted.append(now)
    for start in admitted:
        assert sum(start <= at < start + 60 for at in admitted) <= limit


@given(st.lists(st.tuples(st.floats(0, 20), st.integers(1, 9)), min_size=1, max_size=30), st.integers(1, 20))
def test_after_the_wait_one_more_is_within_the_limit_and_before_it_none(uses, limit):
    minute, now = SlidingMinute(), 1000.0
    for pause, amount in uses:
        now += pause
        minute.add(now, amount)
    wait_seconds = minute.wait_seconds(now, limit)
    assert 0 <= wait_seconds <= 60 + SLOT_SECONDS
    if wait_seconds:
        assert minute.wait_seconds(now + wait_seconds - 0.01, limit) == pytest.approx(0.01, abs=1e-3)
        now += wait_seconds + 0.001
    assert minute.wait_seconds(now, limit) == 0
    assert minute.total(now) + 1 <= limit
