"""The real engine on a clock gives the chain's text, in any batch."""

import numpy as np
import pytest

from benchmarks.simulation.chain_model import ChainModel, prompt_ids
from benchmarks.simulation.replica_plan import PoolPlan
from benchmarks.simulation.step_time import StepTime
from benchmarks.simulation.timed_engine import timed_engine
from paceline.engine.work import Work
from tests.benchmarks.simulation.chain_text import continuation

INSTANT = StepTime(((1, 0.0),))
PROMPT = prompt_ids(1, 1, 40)


@pytest.fixture
def engine():
    engine = timed_engine(PoolPlan(ChainModel(), INSTANT))
    yield engine
    engine.close()


def test_a_verified_round_and_decoding_alone_choose_the_same_ids(engine):
    expected = continuation(ChainModel(), PROMPT, 6)
    alone = engine.submit(
        Work(engine.open_sequence(), 0, np.array(PROMPT), num_selected=1, num_drawn=5)
    ).future.result()
    verified = engine.submit(
        Work(engine.open_sequence(), 0, np.array([*PROMPT, *expected[:5]]), num_selected=6)
    ).future.result()
    assert [*alone.selected_ids, *alone.drawn_ids] == expected
    assert verified.selected_ids.tolist() == expected


def test_works_that_wait_together_are_served_by_one_pass(engine):
    sequences = [engine.open_sequence() for _ in range(4)]
    works = [
        Work(one, 0, np.array(prompt_ids(2, turn, 3)), num_selected=1) for turn, one in enumerate(sequences)
    ]
    with engine._inbox.changed:  # the scheduler cannot look before all are there
        handles = [engine.submit(work) for work in works]
    assert {handle.future.result().timing.batch_rows for handle in handles} == {12}


def test_there_is_room_for_every_session_at_its_longest():
    plan = PoolPlan(ChainModel(), INSTANT, max_sessions=3, max_context_tokens=65)
    engine = timed_engine(plan)
    ids = np.array(prompt_ids(3, 1, 64))
    handles = [
        engine.submit(Work(engine.open_sequence(), 0, ids + place, num_selected=1)) for place in range(3)
    ]
    assert all(handle.future.result().timing.num_cached_tokens == 0 for handle in handles)
    assert engine.usage().num_used_blocks >= 6
    engine.close()
