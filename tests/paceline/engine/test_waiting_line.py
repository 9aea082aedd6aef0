"""Who is admitted when room is short: order, patience, deadline, bounds."""

from collections.abc import Iterable

import numpy as np
import pytest

from paceline.engine.block_pool import BlockPool
from paceline.engine.errors import BlocksExhaustedError, WorkTooLargeError
from paceline.engine.sequence import Sequence
from paceline.engine.waiting_line import AdmissionRules, WaitingLine
from paceline.engine.work import Work, WorkHandle

RULES = AdmissionRules(max_waiting=3, deadline_seconds=10)


class Cache:
    """A line in front of so much free room; a work of n ids needs n of it."""

    def __init__(self, room: int, rules: AdmissionRules = RULES) -> None:
        self.room = room
        self.now = 0.0
        self.line = WaitingLine(rules, lambda: self.now)
        self.started: list[WorkHandle] = []
        self.may_preempt: list[bool] = []

    def arrive(self, num_needed: int, *, is_live: bool = False, background: bool = False) -> WorkHandle:
        sequence = Sequence(BlockPool(2, 4))
        sequence.admission = int(is_live)
        work = Work(sequence, 0, np.zeros(num_needed, np.int64), background=background)
        handle = WorkHandle(work, lambda: None)
        self.line.join([handle])
        return handle

    def admit(self, running: Iterable[Sequence] = ()) -> None:
        self.line.admit({id(one) for one in running}, self._start)

    def _start(self, handle: WorkHandle, may_preempt: bool) -> None:
        self.may_preempt.append(may_preempt)
        num_needed = len(handle.work.token_ids)
        if num_needed > 100:
            raise WorkTooLargeError("never")
        if num_needed > self.room:
            raise BlocksExhaustedError("not now")
        assert handle.future.set_running_or_notify_cancel()
        self.room -= num_needed
        self.started.append(handle)


def reason_of(handle: WorkHandle) -> str:
    error = handle.future.exception(timeout=0)
    assert isinstance(error, BlocksExhaustedError)
    return error.message


def test_newcomers_are_admitted_in_the_order_of_their_arrival() -> None:
    cache = Cache(room=5)
    large, small = cache.arrive(8), cache.arrive(2)
    cache.admit()
    assert (cache.started, len(cache.line)) == ([], 2)
    cache.room = 10
    cache.admit()
    assert cache.started == [large, small]
    assert len(cache.line) == 0


def test_works_of_live_sequences_pass_until_the_first_in_line_has_lost_its_patience() -> None:
    cache = Cache(room=5)
    large = cache.arrive(8)
    passing = cache.arrive(1, is_live=True)
    cache.admit()
    assert cache.started == [passing]
    cache.now = 5.0
    late = cache.arrive(1, is_live=True)
    cache.admit()
    assert cache.started == [passing], "nobody is admitted before it now"
    cache.room = 8
    cache.admit()
    assert cache.started == [passing, large]
    cache.room = 1
    cache.admit()
    assert cache.started == [passing, large, late]


def test_live_sequences_and_the_impatient_may_take_the_blocks_of_sessions_between_rounds() -> None:
    cache = Cache(room=0)
    cache.arrive(8)
    cache.admit()
    cache.arrive(1, is_live=True)
    cache.admit()
    cache.now = 5.0
    cache.admit()
    assert cache.may_preempt == [False, False, True, True]


def test_a_work_is_refused_at_its_deadline_and_makes_way() -> None:
    cache = Cache(room=5)
    large, small = cache.arrive(8), cache.arrive(2)
    cache.admit()
    cache.now = 9.9
    cache.admit()
    assert len(cache.line) == 2
    cache.now = 10.0
    cache.admit()
    assert reason_of(large) == "not now"
    assert cache.started == [small]


def test_a_deadline_counts_from_when_there_was_no_room_and_not_from_when_the_sequence_was_at_work() -> None:
    cache = Cache(room=0)
    waiting = cache.arrive(1)
    cache.admit(running=[waiting.work.sequence])
    cache.now = 60.0
    cache.admit()
    assert len(cache.line) == 1
    assert not waiting.future.done()


def test_one_more_than_may_wait_is_refused_at_once() -> None:
    cache = Cache(room=0)
    handles = [cache.arrive(1) for _ in range(5)]
    cache.admit()
    assert [handle.future.done() for handle in handles] == [False, False, False, True, True]
    assert "3 others wait" in reason_of(handles[3])


@pytest.mark.parametrize(("num_needed", "background"), [(101, False), (1, True)])
def test_what_can_never_run_and_background_work_do_not_wait(num_needed: int, background: bool) -> None:
    cache = Cache(room=0)
    handle = cache.arrive(num_needed, background=background)
    cache.admit()
    assert reason_of(handle)
    assert len(cache.line) == 0


def test_a_second_work_of_a_sequence_waits_behind_the_first() -> None:
    cache = Cache(room=1)
    first = cache.arrive(2, is_live=True)
    second = WorkHandle(Work(first.work.sequence, 0, np.zeros(1, np.int64)), lambda: None)
    cache.line.join([second])
    cache.admit()
    assert cache.started == []
    cache.room = 3
    cache.admit()
    assert cache.started == [first], "the second one's sequence is at work now"
    cache.admit()
    assert cache.started == [first, second]
