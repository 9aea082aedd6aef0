"""Sessions of a replica: who may open one, whose place is taken, what a late message may not do."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest

from paceline.engine.work import Work
from paceline.errors import PacelineError
from paceline.rounds import prefix_digest
from paceline.serving.errors import DrainingError, StaleEpochError, SupersededError, TooManySessionsError
from paceline.serving.session import Session
from paceline.serving.session_point import SessionPoint
from paceline.serving.session_table import RoundKey, SessionLimits, SessionTable
from tests.paceline.serving.fake_engine import FakeEngine, next_id
from tests.paceline.serving.rig import until

LONG = 3600.0


class Table:
    """A table whose rounds choose one id after the point's."""

    def __init__(self, **limits: Any) -> None:
        self.engine = FakeEngine()
        defaults: dict[str, Any] = {
            "max_sessions": 2,
            "idle_seconds": LONG,
            "protect_seconds": 0,
            "orphan_seconds": LONG,
        }
        self.sessions: SessionTable[Session] = SessionTable(self._open, SessionLimits(**defaults | limits))

    def _open(self, session_id: str, epoch: int, fork_of: Any) -> Session:
        return Session(session_id, self.engine, epoch, None, fork_of)

    async def play(
        self,
        session_id: str,
        ids: list[int],
        number: int = 0,
        position: int = 0,
        epoch: int = 1,
        **fields: Any,
    ) -> int:
        point = SessionPoint(
            session_id, epoch, position, prefix_digest(ids[:position]), tuple(ids[position:]), **fields
        )

        async def answer(session: Session) -> int:
            work = Work(session.sequence, position, np.array(ids[position:], np.int64), 1)
            return (await session.run(work)).selected_ids.tolist()[0]

        return await self.sessions.play(point, RoundKey(number, point), answer)

    def is_known(self, session_id: str) -> bool:
        return self.sessions.find(session_id) is not None

    def ids_of(self, session_id: str) -> list[int]:
        session = self.sessions.find(session_id)
        assert session is not None
        return session.sequence.token_ids

    async def begin(self, session_id: str, ids: list[int], **fields: Any) -> "asyncio.Task[int]":
        """Start a round and return once the engine has its work."""
        num_works = len(self.engine.works)
        task = asyncio.create_task(self.play(session_id, ids, **fields))
        await until(lambda: len(self.engine.works) > num_works)
        return task


@pytest.fixture
async def make_table() -> AsyncIterator[Any]:
    tables: list[Table] = []

    def make(**limits: Any) -> Table:
        tables.append(Table(**limits))
        return tables[-1]

    yield make
    for table in tables:
        table.engine.let_go()
        table.sessions.close(DrainingError("the end"))
        assert table.engine.open_sequences == []
        table.engine.close()


async def test_the_session_that_was_idle_for_longest_makes_way(make_table: Any) -> None:
    table = make_table()
    for session_id in ("a", "b"):
        await table.play(session_id, [1, 2])
    await table.play("a", [1, 2, 3], number=1)
    await table.play("c", [1, 2])
    assert [table.is_known(one) for one in "abc"] == [True, False, True]


async def test_a_session_whose_place_was_taken_stays_fenced(make_table: Any) -> None:
    table = make_table(max_sessions=1)
    await table.play("a", [1, 2], epoch=4)
    await table.play("b", [1, 2])
    with pytest.raises(StaleEpochError) as caught:
        await table.play("a", [1, 2], epoch=3)
    assert caught.value.facts == {"epoch": 3, "known_epoch": 4}


async def test_busy_and_recent_sessions_keep_their_places(make_table: Any) -> None:
    table = make_table()
    table.engine.hold()
    rounds = [await table.begin(one, [1, 2]) for one in ("a", "b")]
    with pytest.raises(TooManySessionsError):
        await table.play("c", [1, 2])
    table.engine.let_go()
    await asyncio.gather(*rounds)
    protective = make_table(max_sessions=1, protect_seconds=LONG)
    await protective.play("a", [1, 2])
    with pytest.raises(TooManySessionsError):
        await protective.play("b", [1, 2])
    assert protective.is_known("a")


async def test_a_session_that_was_never_answered_is_dropped(make_table: Any) -> None:
    table = make_table()
    with pytest.raises(PacelineError):
        await table.play("a", [1] * 300)
    assert not table.is_known("a")


async def test_a_fork_shares_the_sequence_of_a_known_session_even_if_that_makes_way(make_table: Any) -> None:
    table = make_table(max_sessions=1)
    await table.play("a", [1, 2])
    source = table.sessions.find("a").sequence
    assert await table.play("b", [1, 2, 3], fork_of="a") == next_id([1, 2, 3])
    assert table.engine.forked == [source]
    assert not table.is_known("a")


@pytest.mark.parametrize("fork_of", ["", "unknown", "b"])
async def test_a_fork_of_nothing_known_is_a_session_like_any_other(make_table: Any, fork_of: str) -> None:
    table = make_table()
    assert await table.play("b", [1, 2, 3], fork_of=fork_of) == next_id([1, 2, 3])
    assert table.engine.forked == []


async def test_a_fork_has_an_epoch_of_its_own(make_table: Any) -> None:
    table = make_table()
    await table.play("a", [1, 2], epoch=7, number=5)
    await table.play("b", [1, 2, 3], epoch=1, fork_of="a")
    assert (table.sessions.find("a").epoch, table.sessions.find("b").epoch) == (7, 1)


async def test_a_late_message_of_the_same_epoch_neither_rolls_back_nor_supersedes(make_table: Any) -> None:
    table = make_table()
    await table.play("a", [1, 2], number=3)
    table.engine.hold()
    running = await table.begin("a", [1, 2, 3], number=4, position=2)
    with pytest.raises(SupersededError) as caught:
        await table.play("a", [1, 2], number=3)
    assert caught.value.facts == {"session_id": "a", "round": 3, "known_round": 4}
    table.engine.let_go()
    assert await running == next_id([1, 2, 3])
    with pytest.raises(SupersededError):
        await table.play("a", [1], number=2)
    assert table.ids_of("a") == [1, 2, 3]


async def test_a_repeat_of_the_current_round_is_answered_whatever_its_number(make_table: Any) -> None:
    table = make_table()
    first = await table.play("a", [1, 2], number=3)
    assert await table.play("a", [1, 2], number=1) == first
    assert await table.play("a", [1, 2], number=9) == first
    assert len(table.engine.works) == 1


async def test_the_same_number_may_come_again_with_all_ids(make_table: Any) -> None:
    table = make_table()
    await table.play("a", [1, 2], number=3)
    await table.play("a", [1, 2, 3], number=3)
    assert table.ids_of("a") == [1, 2, 3]


async def test_a_new_epoch_counts_its_rounds_anew(make_table: Any) -> None:
    table = make_table()
    await table.play("a", [1, 2], number=9, epoch=1)
    assert await table.play("a", [1, 2, 3], number=0, epoch=2) == next_id([1, 2, 3])
    assert await table.play("a", [1, 2, 3, 4], number=1, epoch=2) == next_id([1, 2, 3, 4])
    with pytest.raises(StaleEpochError):
        await table.play("a", [1], number=10, epoch=1)


async def test_a_round_whose_caller_has_gone_ends_and_leaves_its_session(make_table: Any) -> None:
    table = make_table(orphan_seconds=0)
    await table.play("a", [1, 2])
    table.engine.hold()
    orphan = await table.begin("a", [1, 2, 3], number=1)
    orphan.cancel()
    [handle] = table.engine.handles
    await until(lambda: handle.is_abandoned)
    assert table.is_known("a")
    again = asyncio.create_task(table.play("a", [1, 2, 3], number=1))
    table.engine.let_go()
    assert await again == next_id([1, 2, 3])


async def test_a_first_round_whose_caller_has_gone_leaves_no_session(make_table: Any) -> None:
    table = make_table(orphan_seconds=0)
    table.engine.hold()
    (await table.begin("a", [1, 2, 3])).cancel()
    await until(lambda: not table.is_known("a"))
    assert table.engine.open_sequences == []


async def test_a_round_goes_on_if_it_is_repeated_in_time(make_table: Any) -> None:
    table = make_table()
    table.engine.hold()
    orphan = await table.begin("a", [1, 2, 3])
    orphan.cancel()
    again = asyncio.create_task(table.play("a", [1, 2, 3]))
    session = table.sessions.find("a")
    await until(lambda: session._round.num_callers == 1 and orphan.done())
    session.end_orphan()  # what the timer does
    table.engine.let_go()
    assert await again == next_id([1, 2, 3])
    assert len(table.engine.works) == 1


async def test_rounds_that_run_at_the_end_are_told_why(make_table: Any) -> None:
    table = make_table()
    table.engine.hold()
    running = await table.begin("a", [1, 2, 3])
    table.sessions.close(DrainingError("the end"))
    with pytest.raises(DrainingError):
        await running
