"""A busy replica is told from a hung one by its pulse."""

import pytest

from orchestrator.replica_liveness import Liveness, LivenessLimits, Owed, liveness
from orchestrator.replica_pulse import EngineProgress, ReplicaPulse

LIMITS = LivenessLimits()
OWED = Owed(num_rounds=4, since=100.0, deadline_at=220.0)


def pulse(heard_at: float, grew_at: float, longest_step: float = 0.1, num_waiting: int = 0) -> ReplicaPulse:
    return ReplicaPulse(heard_at, grew_at, EngineProgress(7, longest_step, num_waiting, 10))


@pytest.mark.parametrize(
    ("heard_at", "grew_at", "longest_step", "now", "expected"),
    [
        (100.5, 100.5, 0.1, 102.4, Liveness.ALIVE),
        (100.5, 100.5, 0.1, 102.6, Liveness.SILENT),
        (50.0, 50.0, 0.1, 101.9, Liveness.ALIVE),  # it owed nothing meanwhile
        (50.0, 50.0, 0.1, 102.1, Liveness.SILENT),
        (103.9, 101.0, 0.1, 103.9, Liveness.ALIVE),
        (104.0, 101.0, 0.1, 104.1, Liveness.STALLED),
        (104.0, 101.0, 0.5, 104.9, Liveness.ALIVE),  # a pass of 0.5 s may take 4 s
        (105.0, 101.0, 0.5, 105.1, Liveness.STALLED),
    ],
)
def test_silence_and_standstill_have_their_limits(heard_at, grew_at, longest_step, now, expected):
    assert liveness(pulse(heard_at, grew_at, longest_step), OWED, now, LIMITS) is expected


def test_a_replica_whose_works_all_wait_for_room_may_stand_still_for_longer():
    waiting = pulse(110.0, 101.0, num_waiting=4)
    assert liveness(waiting, OWED, 111.0, LIMITS) is Liveness.ALIVE
    running = pulse(110.0, 101.0, num_waiting=3)
    assert liveness(running, OWED, 111.0, LIMITS) is Liveness.STALLED
    still_waiting = pulse(161.0, 101.0, num_waiting=4)
    assert liveness(still_waiting, OWED, 162.0, LIMITS) is Liveness.STALLED


def test_a_replica_that_never_sent_progress_is_asked_and_has_until_the_deadline():
    old = ReplicaPulse(100.0, 100.0)
    assert liveness(old, OWED, 101.0, LIMITS) is Liveness.ALIVE
    assert liveness(old, OWED, 103.0, LIMITS) is Liveness.UNCERTAIN
    old.hear(219.0)
    assert liveness(old, OWED, 220.0, LIMITS) is Liveness.ALIVE
    assert liveness(old, OWED, 220.1, LIMITS) is Liveness.SILENT
    assert liveness(old, OWED._replace(deadline_at=None), 220.1, LIMITS) is Liveness.ALIVE


def progress(num_steps: int) -> EngineProgress:
    return EngineProgress(num_steps, 0.1, 0, 10)


def test_a_pulse_tells_when_the_engine_last_went_on():
    one = ReplicaPulse(0.0, 0.0)
    assert not one.hear(1.0, progress(5)), "the first sign of life may be of an engine that stands still"
    assert not one.hear(2.0, progress(5))
    assert (one.heard_at, one.grew_at) == (2.0, 1.0)
    assert one.hear(3.0, progress(6))
    one.hear(4.0)
    assert (one.heard_at, one.grew_at) == (4.0, 3.0)


def test_a_replica_that_was_slow_and_not_hung_may_stand_still_for_longer():
    one = ReplicaPulse(0.0, 0.0)
    one.hear(1.0, progress(5))
    one.note_stall()
    one.hear(5.0, progress(5))
    assert one.stall_factor == 1.0
    one.hear(6.0, progress(6))
    one.hear(7.0, progress(7))
    assert one.stall_factor == 2.0
    for num_steps in range(8, 20):
        one.note_stall()
        one.hear(7.0 + num_steps, progress(num_steps))
    assert one.stall_factor == 8.0


def test_what_was_said_of_blocks_is_believed_while_it_is_fresh():
    one = ReplicaPulse(0.0, 0.0)
    assert one.num_available_blocks(0.0) is None
    one.hear(1.0, progress(5))
    assert one.num_available_blocks(2.0) == 10
    assert one.num_available_blocks(60.0) is None
