"""How long a pass waits for sessions that are about to come back."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from time import sleep

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paceline.engine.batch import Batch
from paceline.engine.engine import Engine
from paceline.engine.gathering import LATENESS, LATENESS_SECONDS, Away, patience_seconds
from tests.paceline.engine.capture import run
from tests.paceline.engine.hash_runner import HashRunner, continuation, hash_engine

NOW = 100.0
BASE = 0.120


def back_in(seconds: float) -> Away:
    """A session that should be back then."""
    usual = 0.030
    return Away(NOW + seconds - LATENESS * usual - LATENESS_SECONDS, usual)


def test_nobody_is_waited_for_where_nobody_is_away() -> None:
    assert patience_seconds(5, [], NOW, BASE) == 0


def test_who_is_late_is_not_waited_for() -> None:
    assert patience_seconds(1, [back_in(-0.001)], NOW, BASE) == 0


def test_many_are_waited_for_by_few() -> None:
    assert patience_seconds(1, [back_in(0.060)] * 15, NOW, BASE) == pytest.approx(0.060)


def test_one_is_not_waited_for_by_many() -> None:
    assert patience_seconds(15, [back_in(0.020)], NOW, BASE) == 0


def test_the_wait_ends_before_a_straggler() -> None:
    away = [*[back_in(0.010)] * 8, back_in(0.100)]
    assert patience_seconds(8, away, NOW, BASE) == pytest.approx(0.010)


def test_nobody_is_waited_for_longer_than_a_pass_of_its_own_takes() -> None:
    assert patience_seconds(1, [back_in(BASE + 0.001)] * 100, NOW, BASE) == 0


@given(
    num_here=st.integers(1, 64),
    waits=st.lists(st.floats(-0.5, 0.5), max_size=64),
    base=st.floats(0, 0.3),
)
def test_waiting_never_loses_more_than_it_wins(num_here: int, waits: list[float], base: float) -> None:
    away = [back_in(wait) for wait in waits]
    patience = patience_seconds(num_here, away, NOW, base)
    num_back = sum(0 < one.back_at - NOW <= patience for one in away)
    assert 0 <= patience <= base
    assert num_here * patience <= num_back * (base - patience)


def test_sessions_that_missed_each_others_passes_share_them_again() -> None:
    """Two that go on at once: whatever parts them, most of their passes have the rows of both."""
    runner, num_sessions = HashRunner(num_blocks=64), list[int]()

    def note_and_compute(batch: Batch) -> None:
        num_sessions.append(batch.num_logits)  # a row each
        sleep(0.02)

    runner.before_pass = note_and_compute
    with hash_engine(runner=runner) as engine, ThreadPoolExecutor() as pool:
        first = pool.submit(decode, engine, first_id=3, num_rounds=40)
        wait_until(lambda: bool(num_sessions))  # in the middle of the other one's pass
        second = pool.submit(decode, engine, first_id=4, num_rounds=40)
        assert first.result() == continuation([3], 40)
        assert second.result() == continuation([4], 40)
    assert num_sessions.count(2) > num_sessions.count(1), num_sessions


def decode(engine: Engine, first_id: int, num_rounds: int) -> list[int]:
    """Rounds of one id, each submitted when the one before is answered."""
    sequence, ids = engine.open_sequence(), [first_id]
    for _ in range(num_rounds):
        result = run(engine, sequence, len(ids) - 1, ids[-1:], num_selected=1)
        ids.append(int(result.selected_ids[0]))
    return ids[1:]


def wait_until(has_come: Callable[[], bool]) -> None:
    while not has_come():
        sleep(0.001)
