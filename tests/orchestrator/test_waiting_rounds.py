"""Each answer goes to the round that it is of, whoever asked it."""

import asyncio

import pytest

from orchestrator.rounds import RoundKey
from orchestrator.waiting_rounds import WaitingRounds

KEY = RoundKey("a", 3)


async def test_answers_of_one_key_go_to_the_oldest_first():
    waiting = WaitingRounds()
    abandoned, present = waiting.add(KEY, None), waiting.add(KEY, None)
    assert waiting.take(KEY) is abandoned
    assert waiting.take(KEY) is present
    assert waiting.take(KEY) is None
    assert waiting.take(RoundKey("a", 4)) is None


async def test_a_round_that_is_taken_back_leaves_the_others_in_order():
    waiting = WaitingRounds()
    first, second, third = (waiting.add(KEY, None) for _ in range(3))
    waiting.discard(KEY, second)
    assert waiting.take(KEY) is first
    assert waiting.take(KEY) is third
    waiting.discard(KEY, first)
    assert waiting.owed(0.0) is None


async def test_the_answer_of_a_round_whose_asker_has_gone_goes_to_its_heir():
    waiting = WaitingRounds()
    gone, present = waiting.add(KEY, None), waiting.add(KEY, None)
    gone.cancel()
    heir = waiting.heir(KEY, gone)
    assert not heir.done()
    assert waiting.take(KEY) is heir
    assert waiting.take(KEY) is present
    assert waiting.heir(KEY, present) is present


async def test_what_is_owed_is_counted_from_the_oldest():
    waiting = WaitingRounds()
    assert waiting.owed(0.0) is None
    waiting.add(KEY, None)
    owed = waiting.owed(0.0)
    assert owed is not None
    waiting.add(RoundKey("b", 0), 60.0)
    waiting.add(RoundKey("c", 0), 5.0)
    later = waiting.owed(0.0)
    assert later is not None
    assert (later.num_rounds, later.since) == (3, owed.since)
    assert later.deadline_at is not None
    assert owed.deadline_at is None
    assert 0.0 <= later.deadline_at - owed.since - 5.0 < 1.0
    watched = waiting.owed(owed.since + 100.0)
    assert watched is not None
    assert watched.since == owed.since + 100.0


async def test_when_the_stream_ends_every_round_fails():
    waiting = WaitingRounds()
    futures = [waiting.add(KEY, None), waiting.add(KEY, None), waiting.add(RoundKey("b", 0), None)]
    futures[0].cancel()
    waiting.fail_all(lambda: ValueError("gone"))
    assert futures[0].cancelled()
    for future in futures[1:]:
        with pytest.raises(ValueError, match="gone"):
            await asyncio.wait_for(future, 1.0)
    assert waiting.owed(0.0) is None
