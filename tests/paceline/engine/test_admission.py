"""A work gets all the blocks that it can need, or nothing changes."""

from collections.abc import Iterable
from copy import deepcopy

import numpy as np
import pytest

from paceline.engine.admission import Admitted, CacheUpdate, Limits, carry_out, plan_admission
from paceline.engine.block_pool import BlockPool
from paceline.engine.errors import (
    BlocksExhaustedError,
    ContextTooLongError,
    PositionMismatchError,
    SequenceClosedError,
    TokenOutOfVocabularyError,
    WorkTooLargeError,
)
from paceline.engine.sequence import Sequence
from paceline.engine.work import Work
from paceline.errors import InvalidRequestError, PacelineError

BLOCK_SIZE = 4
LIMITS = Limits(vocabulary_size=100, max_context_tokens=28)


class Cache:
    """A pool of 8 blocks of 4 tokens, and what admission does to it."""

    def __init__(self) -> None:
        self.pool = BlockPool(num_blocks=9, block_size=BLOCK_SIZE)
        self.copies: list[tuple[int, int]] = []
        self.limits = LIMITS
        self.cache_update: CacheUpdate = "keep"

    def admit(self, work: Work, idle: Iterable[Sequence] = ()) -> Admitted:
        plan = plan_admission(work, self.pool, self.limits, lambda: list(idle), self.cache_update)
        return carry_out(plan, work, self.pool, lambda *copied: self.copies.append(copied))

    def fork(self, source: Sequence) -> Sequence:
        """A sequence that shares all that another one holds."""
        forked = Sequence(self.pool)
        forked.inherit(source)
        return forked

    def sequence(self, ids: Iterable[int] = ()) -> Sequence:
        """A sequence with these ids, all computed."""
        sequence = Sequence(self.pool)
        self.compute(sequence, work(sequence, 0, ids))
        return sequence

    def compute(self, sequence: Sequence, work: Work, idle: Iterable[Sequence] = ()) -> Admitted:
        """Admit a work and count its rows as run."""
        admitted = self.admit(work, idle)
        sequence.advance(admitted.num_tokens - sequence.num_computed)
        return admitted

    def snapshot(self, *sequences: Sequence) -> object:
        states = [{**vars(one), "_pool": None} for one in sequences]
        return deepcopy((vars(self.pool), states, self.copies))


def work(
    sequence: Sequence, position: int, ids: Iterable[int], num_selected: int = 0, num_drawn: int = 0
) -> Work:
    return Work(sequence, position, np.fromiter(ids, np.int64), num_selected, num_drawn)


@pytest.fixture
def cache() -> Cache:
    return Cache()


@pytest.mark.parametrize(
    ("position", "ids", "num_selected", "num_drawn", "error", "facts"),
    [
        (7, [1], 0, 0, PositionMismatchError, {"position": 7, "known_position": 6}),
        (-1, [1], 0, 0, PositionMismatchError, {"position": -1, "known_position": 6}),
        (6, [1] * 23, 0, 0, ContextTooLongError, {"num_tokens": 29, "max_context_tokens": 28}),
        (6, [1, 100], 0, 0, TokenOutOfVocabularyError, {"token_id": 100, "vocabulary_size": 100}),
        (6, [1, -1], 0, 0, TokenOutOfVocabularyError, {"token_id": -1, "vocabulary_size": 100}),
        (6, [1], 8, 0, InvalidRequestError, {}),
        (6, [1], -1, 0, InvalidRequestError, {}),
        (6, [1], 0, 1, InvalidRequestError, {}),
        (6, [1], 1, -1, InvalidRequestError, {"field": "num_drawn"}),
        (6, [1] * 13, 1, 9, BlocksExhaustedError, {"num_needed": 5, "num_free": 4, "num_total": 8}),
        (0, range(40, 68), 1, 0, BlocksExhaustedError, {"num_needed": 6, "num_free": 5, "num_total": 8}),
    ],
)
def test_a_refusal_names_its_facts_and_changes_nothing(
    cache: Cache, position: int, ids: Iterable[int], num_selected: int, num_drawn: int,
    error: type[PacelineError], facts: dict[str, object],
) -> None:  # fmt: skip
    sequence, busy = cache.sequence(range(6)), cache.sequence(range(20, 28))
    for first_id in (40, 50):
        cache.sequence(range(first_id, first_id + 4)).close()
    before = cache.snapshot(sequence, busy)
    with pytest.raises(error) as caught:
        cache.admit(work(sequence, position, ids, num_selected, num_drawn))
    assert caught.value.facts == facts
    assert cache.snapshot(sequence, busy) == before


def test_a_closed_sequence_is_refused(cache: Cache) -> None:
    sequence = cache.sequence(range(6))
    sequence.close()
    before = cache.snapshot(sequence)
    with pytest.raises(SequenceClosedError):
        cache.admit(work(sequence, 6, [1]))
    assert cache.snapshot(sequence) == before


def test_all_blocks_are_taken_before_the_first_row_runs(cache: Cache) -> None:
    sequence = cache.sequence()
    admitted = cache.admit(work(sequence, 0, range(6), num_selected=1, num_drawn=5))
    assert admitted == Admitted(num_tokens=6, num_drawn=5, num_cached_tokens=0)
    assert (sequence.num_computed, len(sequence.blocks), cache.pool.num_used) == (0, 3, 3)


def test_what_is_drawn_ends_at_the_contexts_end(cache: Cache) -> None:
    assert cache.admit(work(cache.sequence(), 0, range(26), 1, num_drawn=9)).num_drawn == 2
    assert cache.admit(work(cache.sequence(), 0, [], 0)).num_drawn == 0


@pytest.mark.parametrize(
    ("position", "ids", "num_selected", "num_kept"),
    [
        (10, [10], 1, 10),  # goes on
        (6, [6, 7, 8, 9, 10], 1, 10),  # sends again what is known
        (6, [6, 7, 90, 91], 2, 8),  # leaves the known ids
        (0, [*range(10)], 3, 7),  # rows that choose an id are computed, known or not
        (4, [], 0, 4),  # rolls back
        (4, [], 1, 3),  # rolls back and chooses from a known row
    ],
)
def test_ones_own_kv_is_kept_as_far_as_the_ids_agree(
    cache: Cache, position: int, ids: list[int], num_selected: int, num_kept: int
) -> None:
    sequence = cache.sequence(range(10))
    admitted = cache.admit(work(sequence, position, ids, num_selected))
    assert sequence.token_ids == [*range(position), *ids]
    assert (admitted.num_tokens, sequence.num_computed) == (position + len(ids), num_kept)
    assert len(sequence.blocks) == -(-admitted.num_tokens // BLOCK_SIZE)


def test_full_blocks_with_the_same_prefix_are_shared(cache: Cache) -> None:
    source, sequence = cache.sequence(range(10)), cache.sequence()
    admitted = cache.admit(work(sequence, 0, range(10), num_selected=1))
    assert (admitted.num_cached_tokens, sequence.num_computed) == (8, 8)
    assert sequence.blocks[:2] == source.blocks[:2]
    assert sequence.blocks[2] != source.blocks[2]


def test_a_block_whose_last_row_chooses_an_id_is_not_taken_from_others(cache: Cache) -> None:
    cache.sequence(range(8))
    admitted = cache.admit(work(cache.sequence(), 0, range(8), num_selected=1))
    assert admitted.num_cached_tokens == 4


def test_blocks_of_a_sequence_that_has_gone_are_found_again(cache: Cache) -> None:
    cache.sequence(range(8)).close()
    assert (cache.pool.num_used, cache.pool.num_idle) == (0, 2)
    admitted = cache.admit(work(cache.sequence(), 0, range(9), num_selected=1))
    assert admitted.num_cached_tokens == 8
    assert (cache.pool.num_used, cache.pool.num_idle) == (3, 0)


def test_the_block_of_refused_drafts_is_not_taken_for_the_one_of_the_ids_that_replace_them(
    cache: Cache,
) -> None:
    sequence = cache.sequence(range(12))
    admitted = cache.admit(work(sequence, 5, [5, 6, 90, 8, 9, 10, 11], num_selected=2))
    assert (admitted.num_cached_tokens, sequence.num_computed) == (2, 7)


def test_a_partly_filled_block_that_is_shared_is_copied(cache: Cache) -> None:
    source = cache.sequence(range(6))
    forked = cache.fork(source)
    cache.compute(forked, work(forked, 6, [50], num_selected=1))
    assert cache.copies == [(source.blocks[1], forked.blocks[1])]
    assert source.blocks[0] == forked.blocks[0]
    cache.compute(source, work(source, 6, [60], num_selected=1))
    assert len(cache.copies) == 1, "the source holds its block alone by now"


def test_the_copy_counts_when_room_is_made(cache: Cache) -> None:
    """Seven blocks are held; the fork needs the last one for its copy, and one more to go on."""
    source = cache.sequence(range(28))
    forked = cache.fork(source)
    with pytest.raises(BlocksExhaustedError) as caught:
        cache.admit(work(forked, 6, range(60, 63), num_selected=1))
    assert (caught.value.facts["num_needed"], caught.value.facts["num_free"]) == (2, 1)
    cache.admit(work(forked, 6, range(60, 62), num_selected=1))
    assert (len(cache.copies), cache.pool.num_free) == (1, 0)


def test_idle_sequences_lose_their_blocks_in_the_given_order_and_no_more_than_needed(cache: Cache) -> None:
    first, second = cache.sequence(range(12)), cache.sequence(range(20, 28))
    held = list(second.blocks)
    cache.admit(work(cache.sequence(), 0, range(40, 56), num_selected=1), idle=[first, second])
    assert (first.blocks, first.token_ids) == ([], list(range(12)))
    assert second.blocks == held


def test_nobody_is_evicted_for_a_work_that_is_refused_anyway(cache: Cache) -> None:
    busy, idle = cache.sequence(range(12)), cache.sequence(range(20, 24))
    before = cache.snapshot(busy, idle)
    with pytest.raises(BlocksExhaustedError) as caught:
        cache.admit(work(cache.sequence(), 0, range(40, 62), num_selected=1), idle=[idle])
    assert caught.value.facts == {"num_needed": 6, "num_free": 5, "num_total": 8}
    assert cache.snapshot(busy, idle) == before


def test_a_sequence_is_not_evicted_for_its_own_work(cache: Cache) -> None:
    sequence = cache.sequence(range(8))
    cache.admit(work(sequence, 8, range(40, 60), num_selected=1), idle=[sequence])
    assert sequence.num_computed == 8


def test_evicting_a_forks_source_frees_what_only_it_holds(cache: Cache) -> None:
    """The source holds 6 blocks, 2 of them with its fork, which must copy one of these before it appends."""
    source = cache.sequence(range(24))
    forked = cache.fork(source)
    cache.compute(forked, work(forked, 6, range(60, 80), num_selected=1), idle=[source])
    assert (source.blocks, len(forked.blocks)) == ([], 7)
    assert cache.copies == [], "the eviction leaves the block to the fork alone"


def test_an_evicted_sequence_is_computed_again(cache: Cache) -> None:
    sequence = cache.sequence(range(10))
    sequence.evict()
    while cache.pool.num_available:  # others take the blocks that could be found
        cache.pool.allocate()
    cache.pool.release(range(1, 9))
    admitted = cache.admit(work(sequence, 10, [10], num_selected=1))
    assert (admitted.num_cached_tokens, sequence.num_computed, len(sequence.blocks)) == (0, 0, 3)


def test_a_sequence_whose_blocks_are_all_shared_is_not_evicted_for_nothing(cache: Cache) -> None:
    """Four blocks are free, two are held by source and fork together, two by an idle one."""
    source = cache.sequence(range(8))
    forked = cache.fork(source)
    idle = cache.sequence(range(20, 28))
    cache.admit(work(cache.sequence(), 0, range(40, 62), num_selected=1), idle=[source, idle])
    assert (len(source.blocks), idle.blocks) == (2, [])
    assert forked.blocks == source.blocks


def test_sequences_that_share_their_blocks_are_evicted_together(cache: Cache) -> None:
    source = cache.sequence(range(12))
    forked = cache.fork(source)
    cache.admit(work(cache.sequence(), 0, range(40, 64), num_selected=1), idle=[source, forked])
    assert (source.blocks, forked.blocks) == ([], [])
    assert cache.pool.num_used == 6


def test_the_smaller_that_idled_longer_is_spared_where_the_larger_has_to_go_anyway(cache: Cache) -> None:
    small, large = cache.sequence(range(4)), cache.sequence(range(20, 40))
    cache.admit(work(cache.sequence(), 0, range(40, 68), num_selected=1), idle=[small, large])
    assert (len(small.blocks), large.blocks) == (1, [])


def test_what_needs_more_blocks_than_there_are_is_told_so(cache: Cache) -> None:
    cache.limits = Limits(vocabulary_size=100, max_context_tokens=1000)
    sequence, idle = cache.sequence(range(4)), cache.sequence(range(20, 24))
    before = cache.snapshot(sequence, idle)
    with pytest.raises(WorkTooLargeError, match="can never run here") as caught:
        cache.admit(work(sequence, 4, [1] * 29), idle=[idle])
    assert caught.value.facts == {"num_needed": 9, "num_free": 6, "num_total": 8}
    assert cache.snapshot(sequence, idle) == before


# What of the KV may be used


@pytest.mark.parametrize(("cache_update", "num_kept"), [("keep", 10), ("partial", 8), ("rebuild", 0)])
def test_of_ones_own_kv_all_stays_or_its_full_blocks_or_nothing(
    cache: Cache, cache_update: CacheUpdate, num_kept: int
) -> None:
    sequence = cache.sequence(range(10))
    cache.cache_update = cache_update
    admitted = cache.admit(work(sequence, 8, [8, 9, 10], num_selected=1))
    assert (admitted.num_cached_tokens, sequence.num_computed) == (max(0, num_kept - 8), num_kept)
    assert (sequence.token_ids, len(sequence.blocks), cache.pool.num_used) == (list(range(11)), 3, 3)


@pytest.mark.parametrize(("cache_update", "num_found"), [("keep", 8), ("partial", 8), ("rebuild", 0)])
def test_full_blocks_of_others_are_found_unless_all_is_computed_again(
    cache: Cache, cache_update: CacheUpdate, num_found: int
) -> None:
    source, sequence = cache.sequence(range(10)), cache.sequence()
    cache.cache_update = cache_update
    admitted = cache.admit(work(sequence, 0, range(10), num_selected=1))
    assert (admitted.num_cached_tokens, sequence.num_computed) == (num_found, num_found)
    num_shared = len({*source.blocks} & {*sequence.blocks})
    assert num_shared == num_found // BLOCK_SIZE


@pytest.mark.parametrize("cache_update", ["partial", "rebuild"])
def test_a_shared_block_that_nobody_appends_to_is_never_copied(
    cache: Cache, cache_update: CacheUpdate
) -> None:
    source = cache.sequence(range(6))
    forked = cache.fork(source)
    cache.cache_update = cache_update
    for one in (forked, source):
        cache.compute(one, work(one, 6, [50], num_selected=1))
    assert cache.copies == []
    assert source.blocks[1] != forked.blocks[1]


def test_ones_own_blocks_make_room_for_computing_them_again(cache: Cache) -> None:
    sequence = cache.sequence(range(28))
    cache.cache_update = "rebuild"
    assert cache.compute(sequence, work(sequence, 20, range(60, 68), num_selected=1)).num_cached_tokens == 0
    assert (len(sequence.blocks), cache.pool.num_used) == (7, 7)


def test_blocks_that_a_fork_holds_too_make_no_room(cache: Cache) -> None:
    source = cache.sequence(range(28))
    forked = cache.fork(source)
    cache.cache_update = "rebuild"
    before = cache.snapshot(source, forked)
    with pytest.raises(BlocksExhaustedError) as caught:
        cache.admit(work(forked, 4, range(60, 64), num_selected=1))
    assert (caught.value.facts["num_needed"], caught.value.facts["num_free"]) == (2, 1)
    assert cache.snapshot(source, forked) == before
    cache.admit(work(forked, 4, range(60, 64), num_selected=1), idle=[source])
    assert (source.blocks, len(forked.blocks)) == ([], 2)
