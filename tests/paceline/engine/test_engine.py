"""What an engine does with works, on a runner whose ids show every misplaced block."""

from collections.abc import Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from paceline.engine.engine import AdmissionRules, Engine
from paceline.engine.errors import (
    BlocksExhaustedError,
    EngineFailedError,
    EngineStoppedError,
    SequenceClosedError,
    TokenOutOfVocabularyError,
    WorkAbandonedError,
)
from paceline.engine.progress import EngineProgress
from paceline.engine.scheduling import LEAST_PREFILL_ROWS
from paceline.engine.work import Logits, TokenIds, Work, WorkHandle
from tests.paceline.engine.capture import held, run, settle, submit_together
from tests.paceline.engine.hash_runner import Gate, HashRunner, continuation, hash_engine, next_id

PROMPT = [5, 6, 7]


@pytest.fixture
def engine() -> Iterator[Engine]:
    with hash_engine() as engine:
        yield engine


@contextmanager
def gated(**options: Any) -> Iterator[tuple[Engine, Gate]]:
    """An engine whose passes wait to be let through."""
    gate, runner = Gate(), HashRunner(num_blocks=64)
    runner.before_pass = gate.hold
    with hash_engine(runner=runner, **options) as engine:
        try:
            yield engine, gate
        finally:
            gate.open()


def draft(engine: Engine, num_drawn: int, ids: list[int] = PROMPT, **fields: Any) -> Work:
    """A work on a new sequence that chooses one id and draws more."""
    return Work(engine.open_sequence(), 0, np.array(ids, np.int64), 1, num_drawn, **fields)


def raising(*_: object) -> TokenIds:
    raise LookupError("a selector's own bug")


def chosen_by(*ids: int):
    """A selector that chooses these ids, one a call."""
    remaining = iter(ids)
    return lambda *_: np.array([next(remaining)])


# What is chosen


def test_ids_are_selected_and_drawn_as_by_a_model_without_a_cache(engine: Engine) -> None:
    sequence = engine.open_sequence()
    result = run(engine, sequence, 0, PROMPT, num_selected=2, num_drawn=4)
    assert result.selected_ids.tolist() == [next_id(PROMPT[:2]), next_id(PROMPT)]
    assert result.drawn_ids.tolist() == continuation(PROMPT, 5)[1:]
    assert sequence.token_ids == [*PROMPT, *continuation(PROMPT, 5)]
    assert sequence.num_computed == len(PROMPT) + 4, "the last id has not been fed"


def test_verified_ids_stay_the_callers_to_append(engine: Engine) -> None:
    sequence = engine.open_sequence()
    result = run(engine, sequence, 0, [*PROMPT, 8, 9], num_selected=3)
    assert result.selected_ids.tolist() == [next_id([*PROMPT, 8, 9][:end]) for end in (3, 4, 5)]
    assert sequence.token_ids == [*PROMPT, 8, 9]


def test_a_work_may_only_prefill_or_only_roll_back(engine: Engine) -> None:
    sequence = engine.open_sequence()
    assert run(engine, sequence, 0, range(30)).selected_ids.tolist() == []
    assert run(engine, sequence, 7, []).timing.num_steps == 0
    assert (sequence.token_ids, sequence.num_computed) == (list(range(7)), 7)
    assert run(engine, sequence, 7, [], num_selected=2).selected_ids.tolist() == [
        next_id(range(6)),
        next_id(range(7)),
    ]


def test_drawing_stops_after_a_stop_id(engine: Engine) -> None:
    expected = continuation(PROMPT, 6)
    result = engine.submit(draft(engine, 5, stop_ids=frozenset({expected[3]}))).future.result()
    assert result.drawn_ids.tolist() == expected[1:4]


def test_nothing_is_drawn_where_the_selected_id_is_a_stop_id(engine: Engine) -> None:
    work = draft(engine, 5, stop_ids=frozenset({next_id(PROMPT)}))
    result = engine.submit(work).future.result()
    assert (result.selected_ids.tolist(), result.drawn_ids.tolist()) == ([next_id(PROMPT)], [])
    assert work.sequence.token_ids == [*PROMPT, next_id(PROMPT)]


def test_drawing_stops_at_the_contexts_end() -> None:
    with hash_engine(max_context_tokens=8) as engine:
        work = draft(engine, 20)
        result = engine.submit(work).future.result()
        assert result.drawn_ids.tolist() == continuation(PROMPT, 6)[1:]
        assert work.sequence.num_computed == 8


def test_a_selector_sees_its_rows_and_the_positions_of_what_it_chooses(engine: Engine) -> None:
    seen: list[tuple[int, list[int]]] = []

    def selector(logits: Logits, positions: TokenIds, *_: object) -> TokenIds:
        seen.append((len(logits), positions.tolist()))
        return np.full(len(logits), 9)

    sequence = engine.open_sequence()
    result = run(engine, sequence, 0, PROMPT, num_selected=2, num_drawn=2, selector=selector)
    assert seen == [(2, [2, 3]), (1, [4]), (1, [5])]
    assert result.drawn_ids.tolist() == [9, 9]
    assert sequence.token_ids == [*PROMPT, 9, 9, 9]


def test_what_a_selector_chose_is_fed(engine: Engine) -> None:
    sequence = engine.open_sequence()
    run(engine, sequence, 0, PROMPT, num_selected=1, num_drawn=2, selector=chosen_by(40, 41, 42))
    assert run(engine, sequence, 6, [50], num_selected=1).selected_ids.tolist() == [
        next_id([*PROMPT, 40, 41, 42, 50])
    ]


def test_chosen_ids_can_be_read_while_the_work_runs() -> None:
    with gated() as (engine, gate):
        handle = engine.submit(draft(engine, 9))
        for num_chosen in range(4):
            gate.wait_for_pass()
            assert handle.chosen_ids == continuation(PROMPT, num_chosen)
            gate.let_one_pass()


# Ending early


def test_finish_ends_the_drawing_after_the_running_pass() -> None:
    with gated() as (engine, gate):
        handle = engine.submit(draft(engine, 9))
        gate.let_one_pass()
        gate.wait_for_pass()
        handle.finish()
        gate.let_one_pass()
        result = handle.future.result()
        assert result.drawn_ids.tolist() == continuation(PROMPT, 2)[1:]
        assert engine.usage().num_used_blocks == 1, "spare blocks are given back"


def test_a_work_that_is_finished_before_it_runs_still_chooses_its_rows() -> None:
    with gated() as (engine, gate):
        first, second = engine.submit(draft(engine, 9)), engine.submit(draft(engine, 9))
        first.finish()
        second.finish()
        gate.open()
        for handle in (first, second):
            assert handle.future.result().selected_ids.tolist() == [next_id(PROMPT)]


@pytest.mark.parametrize("num_looks", range(12))
def test_a_work_that_is_finished_at_any_moment_is_answered(engine: Engine, num_looks: int) -> None:
    """`finish` comes from another thread; here it comes each time the scheduler looks whether the work is done."""

    class FinishingStopIds(frozenset[int]):
        def __contains__(self, _: object) -> bool:
            looks.append(handle)
            if len(looks) == num_looks:
                handle.is_finishing = True
            return False

    looks: list[WorkHandle] = []
    with held(engine):
        handle = engine.submit(draft(engine, 5, stop_ids=FinishingStopIds()))
    drawn_ids = handle.future.result().drawn_ids.tolist()
    assert drawn_ids == continuation(PROMPT, 6)[1 : 1 + len(drawn_ids)]


def test_a_cancelled_work_never_runs() -> None:
    with gated() as (engine, gate):
        running = engine.submit(draft(engine, 0))
        gate.wait_for_pass()
        work = draft(engine, 0, [8, 9])
        cancelled, after = engine.submit(work), engine.submit(draft(engine, 0, [1]))
        assert cancelled.future.cancel()
        assert not running.future.cancel(), "it runs"
        gate.open()
        assert after.future.result().selected_ids.tolist() == [next_id([1])]
        with pytest.raises(CancelledError):
            cancelled.future.result()
        assert work.sequence.token_ids == []


# Order


def test_works_of_one_sequence_run_in_the_order_of_their_submission(engine: Engine) -> None:
    sequence = engine.open_sequence()
    ids = [[1, 2], [3], [4, 5, 6], [7]]
    works = [
        Work(sequence, position, np.array(part, np.int64), 1)
        for position, part in zip((0, 2, 3, 6), ids, strict=True)
    ]
    handles = submit_together(engine, works)
    assert [handle.future.result().selected_ids.tolist() for handle in handles] == [
        [next_id(range(1, end))] for end in (3, 4, 7, 8)
    ]


def test_a_work_waits_for_the_drawing_of_the_one_before_it() -> None:
    with gated() as (engine, gate):
        first = draft(engine, 3)
        handles = [engine.submit(first)]
        gate.wait_for_pass()
        position = len(PROMPT) + 4
        handles.append(engine.submit(Work(first.sequence, position, np.array([8], np.int64), 1)))
        gate.open()
        results = [handle.future.result() for handle in handles]
        ids = [*PROMPT, *continuation(PROMPT, 4)]
        assert results[1].selected_ids.tolist() == [next_id([*ids, 8])]


def test_sessions_that_wait_are_served_by_one_pass(engine: Engine) -> None:
    prompts = [[1], [2, 3], [4, 5, 6]]
    handles = submit_together(engine, [draft(engine, 2, prompt) for prompt in prompts])
    for handle, prompt in zip(handles, prompts, strict=True):
        result = handle.future.result()
        assert [*result.selected_ids, *result.drawn_ids] == continuation(prompt, 3)
        assert result.timing.num_steps == 3
        assert result.timing.batch_rows == 3


def test_a_prompt_longer_than_a_pass_runs_in_several(engine: Engine) -> None:
    prompt = [number % 97 for number in range(150)]
    result = engine.submit(draft(engine, 0, prompt)).future.result()
    assert result.selected_ids.tolist() == [next_id(prompt)]
    assert result.timing.num_steps == 3


@pytest.mark.parametrize("max_rows", [1, 3, 12])
def test_no_pass_holds_more_rows_than_configured_and_all_works_end(max_rows: int) -> None:
    """12 rows: a work of 13 to 16 rows is no prefill by its size, and must not wait for ever."""
    runner, num_rows = HashRunner(num_blocks=64), []
    runner.before_pass = lambda batch: num_rows.append(batch.num_rows)
    with hash_engine(runner=runner, max_rows=max_rows) as engine:
        prompts = [list(range(length)) for length in (1, 2, 13, 16, 17, 30)]
        handles = submit_together(engine, [draft(engine, 1, prompt) for prompt in prompts])
        for handle, prompt in zip(handles, prompts, strict=True):
            result = handle.future.result()
            assert [*result.selected_ids, *result.drawn_ids] == continuation(prompt, 2)
    assert max(num_rows) <= max(max_rows, engine.info.self_test.min_rows)


def test_decoding_goes_on_beside_a_long_prompt() -> None:
    """No pass is as short as half of this bound, so that prompts have their least rows beside decoding."""
    with gated(max_decode_stall_seconds=1e-9) as (engine, gate):
        decoding = engine.submit(draft(engine, 9))
        gate.wait_for_pass()
        prompt = [number % 97 for number in range(60)]
        prefilling = engine.submit(draft(engine, 0, prompt))
        gate.let_one_pass()
        for _ in range(3):
            assert gate.wait_for_pass().num_rows == 1 + LEAST_PREFILL_ROWS
            gate.let_one_pass()
        gate.open()
        assert decoding.future.result().drawn_ids.tolist() == continuation(PROMPT, 10)[1:]
        assert prefilling.future.result().selected_ids.tolist() == [next_id(prompt)]


def test_a_newcomer_does_not_overtake_a_prompt_that_has_begun() -> None:
    with gated(max_rows=4) as (engine, gate):
        engine.submit(draft(engine, 0, list(range(20))))
        gate.wait_for_pass()
        engine.submit(draft(engine, 0, list(range(40, 60))))
        gate.let_one_pass()
        assert gate.wait_for_pass().inputs["position_ids"].tolist() == [4, 5, 6, 7]
        gate.let_one_pass()
        assert gate.wait_for_pass().inputs["input_ids"].tolist() == [40, 41, 42, 43]


def test_background_work_runs_in_the_rows_that_are_left() -> None:
    with gated(max_rows=4) as (engine, gate):
        background = engine.submit(draft(engine, 9, background=True))
        gate.let_one_pass()
        gate.wait_for_pass()
        foreground = engine.submit(draft(engine, 2, [8, 9, 10, 11]))
        gate.let_one_pass()
        assert gate.wait_for_pass().num_rows == 4, "the prompt fills the pass"
        assert len(background.chosen_ids) == 2
        gate.let_one_pass()
        assert gate.wait_for_pass().num_rows == 2, "each draws one"
        gate.open()
        assert foreground.future.result().drawn_ids.tolist() == continuation([8, 9, 10, 11], 3)[1:]
        assert background.future.result().drawn_ids.tolist() == continuation(PROMPT, 10)[1:]


def test_small_passes_are_filled_up() -> None:
    with gated() as (engine, gate):
        assert engine.info.self_test.min_rows == 2
        engine.submit(draft(engine, 0, [1]))
        assert gate.wait_for_pass().num_rows == 2


# Forks


def test_a_fork_shares_blocks_and_goes_its_own_way(engine: Engine) -> None:
    sequence, ids = engine.open_sequence(), list(range(10))
    run(engine, sequence, 0, ids)
    forked = engine.fork_sequence(sequence)
    settle(engine)
    assert engine.usage().num_used_blocks == 3, "nothing was copied yet"
    assert run(engine, forked, 7, [50], num_selected=1).selected_ids.tolist() == [next_id([*ids[:7], 50])]
    assert engine.usage().num_used_blocks == 4
    assert run(engine, sequence, 10, [60], num_selected=1).selected_ids.tolist() == [next_id([*ids, 60])]
    assert run(engine, forked, 8, [51], num_selected=1).selected_ids.tolist() == [next_id([*ids[:7], 50, 51])]


def test_a_fork_outlives_its_source(engine: Engine) -> None:
    sequence, ids = engine.open_sequence(), list(range(10))
    run(engine, sequence, 0, ids)
    forked = engine.fork_sequence(sequence)
    engine.close_sequence(sequence)
    assert run(engine, forked, 10, [50], num_selected=1).selected_ids.tolist() == [next_id([*ids, 50])]


def test_a_fork_may_know_ids_that_are_not_computed(engine: Engine) -> None:
    sequence = engine.open_sequence()
    run(engine, sequence, 0, PROMPT, num_selected=1, num_drawn=1)
    forked = engine.fork_sequence(sequence)
    ids = [*PROMPT, *continuation(PROMPT, 2)]
    settle(engine)
    assert forked.token_ids == ids
    assert run(engine, forked, 5, [50], num_selected=1).selected_ids.tolist() == [next_id([*ids, 50])]


def test_a_fork_taken_while_its_source_draws_keeps_its_ids() -> None:
    with gated() as (engine, gate):
        work = draft(engine, 9)
        handle = engine.submit(work)
        for _ in range(3):
            gate.let_one_pass()
        gate.wait_for_pass()
        forked = engine.fork_sequence(work.sequence)
        gate.open()
        ids = [*PROMPT, *continuation(PROMPT, 2)]
        assert run(engine, forked, 5, [50], num_selected=1).selected_ids.tolist() == [next_id([*ids, 50])]
        assert handle.future.result().drawn_ids.tolist() == continuation(PROMPT, 10)[1:]


def test_a_fork_counts_what_it_shares_as_cached_once(engine: Engine) -> None:
    sequence, ids = engine.open_sequence(), list(range(10))
    run(engine, sequence, 0, ids)
    forked = engine.fork_sequence(sequence)
    result = run(engine, forked, 0, [*ids[:7], 50], num_selected=1)
    assert result.timing.num_cached_tokens == 7, "the last block, partly filled, included"
    assert result.selected_ids.tolist() == [next_id([*ids[:7], 50])]
    assert run(engine, forked, 8, [51], num_selected=1).timing.num_cached_tokens == 0


def test_a_fork_of_other_ids_shares_nothing(engine: Engine) -> None:
    sequence = engine.open_sequence()
    run(engine, sequence, 0, range(10))
    result = run(engine, engine.fork_sequence(sequence), 0, [90, 91, 92], num_selected=1)
    assert result.timing.num_cached_tokens == 0
    assert result.selected_ids.tolist() == [next_id([90, 91, 92])]
    assert engine.usage().num_used_blocks == 3 + 1


def test_a_fork_of_a_closed_sequence_shares_nothing(engine: Engine) -> None:
    sequence = engine.open_sequence()
    run(engine, sequence, 0, PROMPT)
    engine.close_sequence(sequence)
    result = run(engine, engine.fork_sequence(sequence), 0, PROMPT, num_selected=1)
    assert result.timing.num_cached_tokens == 0
    assert result.selected_ids.tolist() == [next_id(PROMPT)]


def test_a_fork_that_is_closed_before_it_shares_leaves_nothing(engine: Engine) -> None:
    sequence = engine.open_sequence()
    run(engine, sequence, 0, PROMPT)
    with held(engine):
        engine.close_sequence(engine.fork_sequence(sequence))
        engine.close_sequence(sequence)
    settle(engine)
    assert engine.usage().num_used_blocks == 0


# Closing, eviction


def test_closing_fails_the_running_work_and_frees_its_blocks() -> None:
    with gated() as (engine, gate):
        work = draft(engine, 9)
        closed, other = engine.submit(work), engine.submit(draft(engine, 2, [8]))
        gate.wait_for_pass()
        engine.close_sequence(work.sequence)
        behind = engine.submit(Work(work.sequence, 0, np.array(PROMPT, np.int64), 1))
        gate.open()
        assert isinstance(closed.future.exception(), SequenceClosedError)
        assert isinstance(behind.future.exception(), SequenceClosedError)
        assert other.future.result().drawn_ids.tolist() == continuation([8], 3)[1:]
        engine.close_sequence(other.work.sequence)
        settle(engine)
        assert engine.usage().num_used_blocks == 0


def test_closing_twice_changes_nothing(engine: Engine) -> None:
    sequence, other = engine.open_sequence(), engine.open_sequence()
    run(engine, sequence, 0, PROMPT)
    engine.close_sequence(sequence)
    run(engine, other, 0, [8])
    engine.close_sequence(sequence)
    settle(engine)
    assert engine.usage().num_used_blocks == 1


def test_idle_sequences_lose_their_blocks_to_those_that_work_and_compute_them_again() -> None:
    with hash_engine(num_blocks=7, max_context_tokens=16) as engine:
        longest_ago, lately = engine.open_sequence(), engine.open_sequence()
        run(engine, longest_ago, 0, range(12))
        run(engine, lately, 0, range(20, 28))
        engine.submit(draft(engine, 0, list(range(40, 52)))).future.result()
        assert (longest_ago.blocks, len(lately.blocks)) == ([], 2)
        again = run(engine, longest_ago, 12, [12], num_selected=1)
        assert again.selected_ids.tolist() == [next_id(range(13))]


def test_a_work_that_finds_no_room_beside_running_ones_waits_until_they_end() -> None:
    with gated() as (engine, gate):
        holder = engine.submit(draft(engine, 200))
        gate.wait_for_pass()
        waiting = draft(engine, 60)
        handle = engine.submit(waiting)
        gate.let_one_pass()
        gate.wait_for_pass()
        assert engine.progress().num_waiting == 1
        assert (waiting.sequence.token_ids, waiting.sequence.blocks) == ([], [])
        holder.finish()
        gate.open()
        assert handle.future.result().drawn_ids.tolist() == continuation(PROMPT, 61)[1:]
        assert holder.future.result().drawn_ids.tolist() == continuation(PROMPT, 2)[1:]


def test_a_work_that_may_not_wait_is_refused_and_changes_nothing() -> None:
    with gated(admission=AdmissionRules(max_waiting=0)) as (engine, gate):
        engine.submit(draft(engine, 200))
        gate.wait_for_pass()
        work = draft(engine, 60)
        refused = engine.submit(work)
        gate.let_one_pass()
        error = refused.future.exception()
        assert isinstance(error, BlocksExhaustedError)
        assert error.facts == {"num_needed": 16, "num_free": 12, "num_total": 63}
        assert (work.sequence.token_ids, work.sequence.blocks) == ([], [])


def test_a_waiting_work_that_is_cancelled_abandoned_or_closed_leaves_the_line() -> None:
    with gated() as (engine, gate):
        holder = engine.submit(draft(engine, 200))
        gate.wait_for_pass()
        cancelled, abandoned, closed, last = (engine.submit(draft(engine, 60, [one])) for one in range(4))
        gate.let_one_pass()
        gate.wait_for_pass()
        assert engine.progress().num_waiting == 4
        assert cancelled.future.cancel(), "it has not begun"
        abandoned.abandon()
        engine.close_sequence(closed.work.sequence)
        gate.let_one_pass()
        assert isinstance(abandoned.future.exception(), WorkAbandonedError)
        assert isinstance(closed.future.exception(), SequenceClosedError)
        gate.wait_for_pass()
        assert engine.progress().num_waiting == 1
        holder.finish()
        gate.open()
        assert last.future.result().drawn_ids.tolist() == continuation([3], 61)[1:]


def test_an_abandoned_work_ends_before_its_next_pass_and_leaves_what_it_has_computed() -> None:
    with gated(max_rows=16) as (engine, gate):
        prompt = [number % 97 for number in range(60)]
        work = draft(engine, 0, prompt)
        handle = engine.submit(work)
        gate.let_one_pass()
        gate.wait_for_pass()
        handle.abandon()
        gate.let_one_pass()
        assert isinstance(handle.future.exception(), WorkAbandonedError)
        assert engine.progress().num_steps == 2
        assert (work.sequence.num_computed, engine.usage().num_used_blocks) == (32, 8)
        gate.open()
        again = run(engine, work.sequence, 0, prompt, num_selected=1)
        assert again.selected_ids.tolist() == [next_id(prompt)]
        assert again.timing.num_steps == 2, "it goes on where it was left"


def test_sessions_between_two_rounds_keep_their_blocks_while_a_newcomer_is_patient() -> None:
    rules = AdmissionRules(deadline_seconds=3600, protect_seconds=3600)
    with hash_engine(num_blocks=9, max_context_tokens=32, admission=rules) as engine:
        sequence = engine.open_sequence()
        run(engine, sequence, 0, range(16), num_selected=1)
        newcomer = engine.submit(draft(engine, 0, list(range(40, 60))))
        assert run(engine, sequence, 16, [16], num_selected=1).selected_ids.tolist() == [next_id(range(17))]
        assert not newcomer.future.done()
        # A round of the live session that needs more room passes the newcomer, which gets in when the session ends.
        assert run(engine, sequence, 17, range(17, 30), num_selected=1).timing.num_steps == 1
        engine.close_sequence(sequence)
        assert newcomer.future.result().selected_ids.tolist() == [next_id(range(40, 60))]


def test_an_impatient_newcomer_takes_the_blocks_of_a_session_between_two_rounds() -> None:
    rules = AdmissionRules(deadline_seconds=0.2, protect_seconds=3600)
    with hash_engine(num_blocks=9, max_context_tokens=32, admission=rules) as engine:
        sequence = engine.open_sequence()
        run(engine, sequence, 0, range(16), num_selected=1)
        newcomer = engine.submit(draft(engine, 0, list(range(40, 60))))
        assert newcomer.future.result().selected_ids.tolist() == [next_id(range(40, 60))]
        assert (sequence.blocks, sequence.is_live) == ([], False)


def test_usage_counts_every_block(engine: Engine) -> None:
    sequence = engine.open_sequence()
    run(engine, sequence, 0, range(10))
    usage = engine.usage()
    assert (usage.num_free_blocks, usage.num_cached_blocks, usage.num_used_blocks) == (60, 0, 3)
    assert (usage.num_blocks, usage.block_size) == (63, 4)
    engine.close_sequence(sequence)
    settle(engine)
    usage = engine.usage()
    assert (usage.num_free_blocks, usage.num_cached_blocks, usage.num_used_blocks) == (61, 2, 0)


def test_a_shared_prefix_is_counted_as_cached(engine: Engine) -> None:
    first, second = engine.open_sequence(), engine.open_sequence()
    assert run(engine, first, 0, range(10), num_selected=1).timing.num_cached_tokens == 0
    result = run(engine, second, 0, range(10), num_selected=1)
    assert result.timing.num_cached_tokens == 8
    assert result.selected_ids.tolist() == [next_id(range(10))]


# Failures


def test_a_refused_work_harms_no_other(engine: Engine) -> None:
    refused, good = submit_together(engine, [draft(engine, 0, [97]), draft(engine, 2)])
    assert isinstance(refused.future.exception(), TokenOutOfVocabularyError)
    assert good.future.result().drawn_ids.tolist() == continuation(PROMPT, 3)[1:]


def test_a_failing_selector_harms_only_its_own_work(engine: Engine) -> None:
    works = [
        draft(engine, 5, [1], selector=raising),
        draft(engine, 5, [2]),
        draft(engine, 5, [3], selector=chosen_by(9)),  # fails when it is asked a second time
        draft(engine, 5, [4]),
    ]
    first, second, third, fourth = submit_together(engine, works)
    assert isinstance(first.future.exception(), LookupError)
    assert third.future.exception() is not None
    for handle, prompt in ((second, [2]), (fourth, [4])):
        assert handle.future.result().drawn_ids.tolist() == continuation(prompt, 6)[1:]
    sequence = works[0].sequence
    assert run(engine, sequence, 0, [1], num_selected=1).selected_ids.tolist() == [next_id([1])]
    for work in works:
        engine.close_sequence(work.sequence)
    settle(engine)
    assert engine.usage().num_used_blocks == 0


class FailingRunner(HashRunner):
    """Fails once it is told to."""

    def __init__(self) -> None:
        super().__init__(num_blocks=64)
        self.is_broken = False

    def copy_block(self, source: int, destination: int) -> None:
        if self.is_broken:
            raise MemoryError("no memory for a copy")
        super().copy_block(source, destination)


@pytest.mark.parametrize("what", ["pass", "copy"])
def test_a_failure_ends_the_engine_and_everything_is_answered(what: str) -> None:
    """Running works, works behind them, works that come later, works in the same intake as the failing copy."""
    gate, runner = Gate(), FailingRunner()

    def fail_or_hold(batch: Any) -> None:
        gate.hold(batch)
        if runner.is_broken and what == "pass":
            raise MemoryError("no memory for a pass")

    runner.before_pass = fail_or_hold
    with hash_engine(runner=runner) as engine:
        source = engine.open_sequence()
        gate.is_open = True
        run(engine, source, 0, PROMPT)
        forked = engine.fork_sequence(source)
        gate.is_open = False
        gate._arrived.clear()
        running = engine.submit(draft(engine, 50))
        gate.wait_for_pass()
        handles = [
            engine.submit(draft(engine, 5, [1])),
            engine.submit(draft(engine, 0, [97])),
            engine.submit(Work(forked, 3, np.array([8], np.int64), 1)),
            engine.submit(draft(engine, 5, [2])),
            engine.submit(Work(running.work.sequence, 0, np.array([8], np.int64), 1)),
        ]
        cancelled = engine.submit(draft(engine, 5, [3]))
        cancelled.future.cancel()
        runner.is_broken = True
        gate.open()
        errors = [handle.future.exception() for handle in (running, *handles)]
        assert engine.failure is not None
        refused_first = isinstance(errors.pop(2), TokenOutOfVocabularyError)
        assert refused_first == (what == "copy"), "it was refused before the copy, or never looked at"
        assert all(isinstance(error, EngineFailedError) for error in errors)
        assert all(isinstance(error.__cause__, MemoryError) for error in errors if error)
        later = engine.submit(draft(engine, 0)).future.exception()
        assert later is engine.failure
        engine.close_sequence(engine.fork_sequence(source))
        engine.close_sequence(source)


def test_a_stop_answers_everything() -> None:
    with gated() as (engine, gate):
        work = draft(engine, 50)
        running = engine.submit(work)
        gate.wait_for_pass()
        waiting = [
            engine.submit(draft(engine, 5, [1])),
            engine.submit(Work(work.sequence, 0, np.array([8], np.int64), 1)),
        ]
        forked = engine.fork_sequence(work.sequence)
        waiting.append(engine.submit(Work(forked, 0, np.array([8], np.int64), 1)))
        with engine._inbox.changed:  # as `close` does, which then waits for the pass that the gate holds
            engine._inbox.is_stopping = True
        gate.open()
        engine.close()
        for handle in (running, *waiting):
            assert isinstance(handle.future.exception(), EngineStoppedError)


def test_a_stopped_engine_refuses_works() -> None:
    with hash_engine() as engine:
        sequence = engine.open_sequence()
        run(engine, sequence, 0, PROMPT)
    assert isinstance(engine.submit(draft(engine, 0)).future.exception(), EngineStoppedError)
    engine.close_sequence(engine.fork_sequence(sequence))
    engine.close_sequence(sequence)
    engine.close()
    assert isinstance(engine.failure, EngineStoppedError)


# Progress


def test_progress_counts_passes_and_tells_the_longest_of_the_latest() -> None:
    with gated() as (engine, gate):
        assert engine.progress() == EngineProgress(0, 0, 0, 63, 63)
        handle = engine.submit(draft(engine, 20))
        gate.wait_for_pass()
        behind = engine.submit(Work(handle.work.sequence, 0, np.array([8], np.int64), 1))
        held_back = engine.progress()
        assert (held_back.num_steps, held_back.num_waiting, held_back.num_available_blocks) == (0, 1, 57)
        assert engine.progress() == held_back, "it is told while a pass hangs"
        gate.open()
        behind.future.result()
        progress = engine.progress()
        assert progress.num_steps == 21 + 1
        assert 0 < progress.longest_step_ns == max(engine._latest_passes_ns)
        assert len(engine._latest_passes_ns) == 16


def test_closing_does_not_wait_longer_than_told_for_a_pass_that_hangs() -> None:
    with gated() as (engine, gate):
        handle = engine.submit(draft(engine, 0))
        gate.wait_for_pass()
        assert not engine.close(timeout_seconds=0.01)
        gate.open()
        assert engine.close()
        assert handle.future.exception() is None or isinstance(handle.future.exception(), EngineStoppedError)
