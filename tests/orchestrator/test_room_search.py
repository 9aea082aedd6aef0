"""A round that finds no room asks everywhere, pauses for longer each time, and gives up at its bound."""

import pytest

from orchestrator.errors import RoundFailedError
from orchestrator.room_search import RoomSearch, can_never_fit


def test_pauses_grow_and_end_at_the_bound():
    search, now, pauses = RoomSearch(deadline_at=30.0), 0.0, []
    while (pause := search.pause_seconds(now)) is not None:
        pauses.append(pause)
        now += pause
    assert now == pytest.approx(30.0)
    limits = [min(0.1 * 2**place, 2.0) for place in range(len(pauses))]
    assert all(0.5 * limit <= pause <= limit for pause, limit in zip(pauses[:-1], limits, strict=False))


def test_after_a_pause_every_target_may_be_asked_again():
    search = RoomSearch(deadline_at=1.0, refused={"a", "b"})
    assert search.pause_seconds(0.0) is not None
    assert not search.refused


def test_sessions_that_were_refused_together_do_not_come_back_together():
    assert len({RoomSearch(deadline_at=30.0).pause_seconds(0.0) for _ in range(10)}) > 1


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({"num_needed": "11", "num_total": "10"}, True),
        ({"num_needed": "10", "num_total": "10"}, False),
        ({"max_sessions": "4"}, False),
        ({"num_needed": "many", "num_total": "10"}, False),
    ],
)
def test_what_needs_more_than_there_is_can_never_fit(facts, expected):
    assert can_never_fit(RoundFailedError("KV_BLOCKS_EXHAUSTED", "full", facts)) is expected
