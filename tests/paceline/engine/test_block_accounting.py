"""Random works on a small cache: every block is accounted for, and every id is that of a model without a cache."""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from paceline.engine.engine import CacheUpdate, Engine
from paceline.engine.errors import (
    BlocksExhaustedError,
    ContextTooLongError,
    PositionMismatchError,
    WorkAbandonedError,
)
from paceline.engine.sequence import Sequence
from paceline.engine.work import Work, WorkHandle, WorkResult
from tests.paceline.engine.capture import settle
from tests.paceline.engine.hash_runner import BLOCK_SIZE, continuation, hash_engine, next_id

NUM_BLOCKS = 14
MAX_CONTEXT_TOKENS = 36
FEW_IDS = st.integers(0, 3)  # so that prefixes meet
INDEX = st.integers(0, 1000)


@dataclass
class Known:
    """What the model knows of a sequence, and the works whose answers it has not looked at yet."""

    sequence: Sequence
    ids: list[int] = field(default_factory=list)
    handles: list[WorkHandle] = field(default_factory=list)


class BlockAccounting(RuleBasedStateMachine):
    cache_update: CacheUpdate = "keep"

    def __init__(self) -> None:
        super().__init__()
        self.engine: Engine = hash_engine(
            NUM_BLOCKS,
            max_rows=12,
            max_context_tokens=MAX_CONTEXT_TOKENS,
            cache_update=self.cache_update,
        )
        self.pool = self.engine._pool
        self.known: list[Known] = []
        self.closing: list[WorkHandle] = []  # works of sequences that were closed while they ran

    def teardown(self) -> None:
        for one in self.known:
            self.engine.close_sequence(one.sequence)
        self.synchronise()
        assert self.engine.usage().num_used_blocks == 0
        self.engine.close()

    @rule()
    def open(self) -> None:
        if len(self.known) < 6:
            self.known.append(Known(self.engine.open_sequence()))

    @precondition(lambda self: self.known)
    @rule(
        which=INDEX, back=st.integers(0, 12), ids=st.lists(FEW_IDS, max_size=20), selected=st.integers(0, 6),
        drawn=st.integers(0, 6), stop=st.frozensets(st.integers(0, 96), max_size=20), background=st.booleans(),
        ends_early=st.booleans(), waits=st.booleans(),
    )  # fmt: skip
    def work(
        self, which: int, back: int, ids: list[int], selected: int, drawn: int, stop: frozenset[int],
        background: bool, ends_early: bool, waits: bool,
    ) -> None:  # fmt: skip
        one = self.known[which % len(self.known)]
        position = max(0, len(one.ids) - back)
        selected = min(selected, position + len(ids))
        work = Work(
            one.sequence, position, np.array(ids, np.int64), selected, drawn if selected else 0, stop,
            background=background,
        )  # fmt: skip
        one.handles.append(self.engine.submit(work))
        if ends_early:
            one.handles[-1].finish()
        if waits:
            self.settle()

    @precondition(lambda self: self.known)
    @rule(which=INDEX, num_ids=st.integers(37, 80))
    def too_large_work(self, which: int, num_ids: int) -> None:
        self.settle()
        one = self.known[which % len(self.known)]
        before = (self.engine.usage(), [list(each.sequence.blocks) for each in self.known])
        work = Work(one.sequence, 0, np.zeros(num_ids, np.int64), 1)
        assert isinstance(self.engine.submit(work).future.exception(), ContextTooLongError)
        assert before == (self.engine.usage(), [list(each.sequence.blocks) for each in self.known])

    @precondition(lambda self: any(not one.handles for one in self.known))
    @rule(which=INDEX)
    def fork(self, which: int) -> None:
        sources = [one for one in self.known if not one.handles]
        source = sources[which % len(sources)]
        self.known.append(Known(self.engine.fork_sequence(source.sequence), list(source.ids)))

    @precondition(lambda self: self.known)
    @rule(which=INDEX, ids=st.lists(FEW_IDS, min_size=1, max_size=20))
    def fork_of_whatever_it_holds(self, which: int, ids: list[int]) -> None:
        """The source may be at work; what the fork shares is what its own ids agree with."""
        source = self.known[which % len(self.known)]
        one = Known(self.engine.fork_sequence(source.sequence))
        one.handles.append(self.engine.submit(Work(one.sequence, 0, np.array(ids, np.int64), 1)))
        self.known.append(one)

    @precondition(lambda self: self.known)
    @rule(which=INDEX)
    def close(self, which: int) -> None:
        one = self.known.pop(which % len(self.known))
        self.closing += one.handles
        self.engine.close_sequence(one.sequence)

    @precondition(lambda self: any(one.handles for one in self.known))
    @rule(which=INDEX)
    def finish(self, which: int) -> None:
        handles = [handle for one in self.known for handle in one.handles]
        handles[which % len(handles)].finish()

    @precondition(lambda self: any(one.handles for one in self.known))
    @rule(which=INDEX)
    def abandon(self, which: int) -> None:
        at_work = [one for one in self.known if one.handles]
        at_work[which % len(at_work)].handles[-1].abandon()
        self.settle()

    @rule()
    def settle(self) -> None:
        self.synchronise()
        num_unsettled = len(self.closing) + sum(len(one.handles) for one in self.known)
        for one in self.known:
            for handle in one.handles:
                self.check(one, handle, is_alone=num_unsettled == 1)
            one.handles.clear()
            assert one.sequence.token_ids == one.ids
        self.closing.clear()

    def check(self, one: Known, handle: WorkHandle, *, is_alone: bool) -> None:
        """Compare a work's answer with the model, in the order in which they were submitted."""
        work, error = handle.work, handle.future.exception()
        if isinstance(error, PositionMismatchError):
            assert work.position > len(one.ids)
        elif isinstance(error, ContextTooLongError):
            assert work.position + len(work.token_ids) > MAX_CONTEXT_TOKENS
        elif isinstance(error, BlocksExhaustedError):
            assert work.background, "others wait until there is room, and one sequence fits alone"
            assert not is_alone, "one sequence fits, since idle ones lose their blocks"
        elif isinstance(error, WorkAbandonedError):
            known = one.sequence.token_ids
            assert handle.is_abandoned
            assert known[: work.position] == one.ids[: work.position]
            one.ids = list(known)  # it may have run for a while, and chosen ids
        else:
            assert error is None
            self.check_result(one, work, handle.future.result(), is_cut=handle.is_finishing)

    def check_result(self, one: Known, work: Work, result: WorkResult, *, is_cut: bool) -> None:
        ids = one.ids[: work.position] + work.token_ids.tolist()
        first = len(ids) - work.num_selected + 1
        assert result.selected_ids.tolist() == [next_id(ids[:end]) for end in range(first, len(ids) + 1)]
        if work.num_drawn:
            expected = continuation(ids, work.num_drawn + 1)
            stops = [index for index, chosen in enumerate(expected) if chosen in work.stop_ids]
            num_most = min(work.num_drawn, MAX_CONTEXT_TOKENS - len(ids), *stops[:1])
            drawn = result.drawn_ids.tolist()
            assert drawn == expected[1 : 1 + len(drawn)]
            assert len(drawn) <= num_most if is_cut else len(drawn) == num_most
            ids += expected[: 1 + len(drawn)]
        one.ids = ids

    def synchronise(self) -> None:
        """Wait until every work is answered and every closing is done."""
        for handle in [*self.closing, *(handle for one in self.known for handle in one.handles)]:
            handle.future.exception()
        settle(self.engine)

    @invariant()
    def blocks_are_accounted_for(self) -> None:
        if any(one.handles for one in self.known):
            return
        self.synchronise()
        pool, usage = self.pool, self.engine.usage()
        assert usage.num_used_blocks + usage.num_free_blocks + usage.num_cached_blocks == NUM_BLOCKS - 1
        held = Counter(block for one in self.known for block in one.sequence.blocks)
        assert held == Counter(dict(enumerate(pool._num_holders)))  # zero counts compare as absent
        free, idle = set(pool._free), set(pool._idle)
        assert len(free) == len(pool._free)
        assert not free & idle
        assert not (free | idle) & held.keys()
        assert idle <= pool._key_of.keys() == set(pool._block_of.values())
        assert not free & pool._key_of.keys()
        for one in self.known:
            assert len(one.sequence.blocks) == -(-one.sequence.num_computed // BLOCK_SIZE)
            assert one.sequence.num_computed <= len(one.sequence.token_ids)


class PartialBlockAccounting(BlockAccounting):
    cache_update = "partial"


class RebuildBlockAccounting(BlockAccounting):
    cache_update = "rebuild"


TestBlockAccounting = BlockAccounting.TestCase
TestBlockAccounting.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)
TestPartialBlockAccounting = PartialBlockAccounting.TestCase
TestPartialBlockAccounting.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
TestRebuildBlockAccounting = RebuildBlockAccounting.TestCase
TestRebuildBlockAccounting.settings = settings(max_examples=25, stateful_step_count=40, deadline=None)


@pytest.mark.slow
@pytest.mark.timeout(900)
class TestManyBlockAccountings(BlockAccounting.TestCase):
    settings = settings(max_examples=4_000, stateful_step_count=60, deadline=None)


@pytest.mark.slow
@pytest.mark.timeout(900)
class TestManyPartialBlockAccountings(PartialBlockAccounting.TestCase):
    settings = settings(max_examples=2_000, stateful_step_count=60, deadline=None)
