"""A sequence's blocks: truncated, forked, adopted, published."""

import pytest

from paceline.engine.block_pool import BlockPool, block_key
from paceline.engine.sequence import Sequence

BLOCK_SIZE = 4


@pytest.fixture
def pool() -> BlockPool:
    return BlockPool(num_blocks=12, block_size=BLOCK_SIZE)


def computed(pool: BlockPool, num_tokens: int, first_id: int = 0) -> Sequence:
    """A sequence of neighbouring ids whose KV is all there."""
    sequence = Sequence(pool)
    sequence.token_ids = list(range(first_id, first_id + num_tokens))
    sequence.blocks = [pool.allocate() for _ in range(-(-num_tokens // BLOCK_SIZE))]
    sequence.advance(num_tokens)
    return sequence


def keys_of(token_ids: list[int]) -> list[bytes]:
    """The keys of the full blocks of ids."""
    keys = [b""]
    for start in range(0, len(token_ids) // BLOCK_SIZE * BLOCK_SIZE, BLOCK_SIZE):
        keys.append(block_key(keys[-1], token_ids[start : start + BLOCK_SIZE]))
    return keys[1:]


def never_copy(_source: int, _destination: int) -> None:
    pytest.fail("a block was copied")


def test_full_blocks_are_published_as_they_fill(pool: BlockPool) -> None:
    sequence = computed(pool, 3)
    assert pool.find(keys_of([0, 1, 2, 3])[0]) is None
    sequence.token_ids += [3, 4]
    sequence.blocks.append(pool.allocate())
    sequence.advance(2)
    assert pool.find(keys_of([0, 1, 2, 3])[0]) == sequence.blocks[0]


@pytest.mark.parametrize(("num_left", "num_blocks"), [(10, 3), (9, 3), (8, 2), (5, 2), (4, 1), (0, 0)])
def test_truncating_gives_the_blocks_back_that_hold_nothing_of_what_is_left(
    pool: BlockPool, num_left: int, num_blocks: int
) -> None:
    sequence = computed(pool, 10)
    blocks = list(sequence.blocks)
    sequence.truncate(num_left)
    assert (sequence.num_computed, sequence.blocks) == (num_left, blocks[:num_blocks])
    assert pool.num_used == num_blocks
    assert sequence.token_ids == list(range(10)), "ids are the truth, the KV is disposable"


def fork(pool: BlockPool, source: Sequence) -> Sequence:
    forked = Sequence(pool)
    forked.inherit(source)
    return forked


def test_a_fork_shares_all_blocks_of_its_source(pool: BlockPool) -> None:
    sequence = computed(pool, 10)
    sequence.last_step = 7
    forked = fork(pool, sequence)
    assert (forked.token_ids, forked.num_computed) == (list(range(10)), 10)
    assert forked.blocks == sequence.blocks
    assert [pool.num_holders(block) for block in sequence.blocks] == [2, 2, 2]
    assert forked.last_step == 7, "it has waited no longer than its source"
    assert not forked.is_live, "nothing of it was computed for itself"
    sequence.close()
    assert [pool.num_holders(block) for block in forked.blocks] == [1, 1, 1]
    forked.close()
    assert pool.num_used == 0


def test_a_fork_of_ids_that_are_not_computed_shares_what_is(pool: BlockPool) -> None:
    sequence = computed(pool, 6)
    sequence.token_ids += [6, 7, 8, 9]
    sequence.blocks.append(pool.allocate())
    forked = fork(pool, sequence)
    assert (forked.token_ids, forked.num_computed) == (list(range(10)), 6)
    assert forked.blocks == sequence.blocks[:2]


def test_the_end_of_a_prefix_is_given_up_before_its_beginning(pool: BlockPool) -> None:
    sequence, other = computed(pool, 8), computed(pool, 36, first_id=50)
    sequence.evict()
    other.blocks.append(pool.allocate())
    keys = keys_of(list(range(8)))
    assert [pool.find(key) is not None for key in keys] == [True, False]


def test_a_partly_filled_shared_block_is_copied_before_it_is_written(pool: BlockPool) -> None:
    sequence = computed(pool, 6)
    forked = fork(pool, sequence)
    copies: list[tuple[int, int]] = []
    forked.make_last_block_writable(lambda source, destination: copies.append((source, destination)))
    assert copies == [(sequence.blocks[1], forked.blocks[1])]
    assert [pool.num_holders(block) for block in (*sequence.blocks, forked.blocks[1])] == [2, 1, 1]


def test_a_partly_filled_block_of_ones_own_is_withdrawn_before_it_is_written(pool: BlockPool) -> None:
    sequence = computed(pool, 8)
    sequence.truncate(6)
    sequence.make_last_block_writable(never_copy)
    assert pool.find(keys_of(list(range(8)))[1]) is None
    assert pool.find(keys_of(list(range(8)))[0]) == sequence.blocks[0]


def test_full_blocks_need_no_copy(pool: BlockPool) -> None:
    sequence = computed(pool, 8)
    forked = fork(pool, sequence)
    forked.make_last_block_writable(never_copy)
    Sequence(pool).make_last_block_writable(never_copy)
    assert forked.blocks == sequence.blocks


def test_found_blocks_are_adopted_behind_ones_own(pool: BlockPool) -> None:
    source, sequence = computed(pool, 12), computed(pool, 4)
    for block in source.blocks[1:]:
        pool.share(block)
    sequence.token_ids = list(range(12))
    sequence.adopt(source.blocks[1:], keys_of(list(range(12))))
    assert (sequence.num_computed, sequence.blocks[1:]) == (12, source.blocks[1:])
    assert sequence.keys(3, sequence.token_ids, 12) == keys_of(list(range(12)))
    sequence.adopt([], [])
    assert sequence.num_computed == 12


def test_keys_of_ids_that_differ_are_not_ones_own(pool: BlockPool) -> None:
    """Found by the state machine: a block of refused drafts was taken for the one of the ids that replaced them."""
    sequence = computed(pool, 12)
    token_ids = [*range(7), 99, 8, 9, 10, 11]
    assert sequence.keys(3, token_ids, num_agreeing=7) == keys_of(token_ids)
    assert sequence.keys(1, token_ids, num_agreeing=7) == keys_of(token_ids)[:1]
    assert sequence.keys(0, token_ids, num_agreeing=7) == []


def test_an_evicted_sequence_keeps_its_ids_and_a_closed_one_stays_closed(pool: BlockPool) -> None:
    sequence = computed(pool, 6)
    sequence.evict()
    assert (sequence.token_ids, sequence.num_computed, sequence.blocks) == (list(range(6)), 0, [])
    assert not sequence.is_closed
    sequence.close()
    sequence.close()
    assert sequence.is_closed
    assert pool.num_used == 0
