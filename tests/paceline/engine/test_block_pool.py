"""Blocks are handed out, shared, let go and found again by their content."""

import pytest

from paceline.engine.block_pool import PADDING_BLOCK, BlockPool, block_key


@pytest.fixture
def pool() -> BlockPool:
    return BlockPool(num_blocks=4, block_size=2)


def counts(pool: BlockPool) -> tuple[int, int, int]:
    return pool.num_free, pool.num_idle, pool.num_used


def test_the_padding_block_is_never_handed_out(pool: BlockPool) -> None:
    assert {pool.allocate() for _ in range(pool.num_available)} == {1, 2, 3}
    assert PADDING_BLOCK == 0
    assert counts(pool) == (0, 0, 3)


def test_a_shared_block_is_free_once_its_last_holder_lets_go(pool: BlockPool) -> None:
    block = pool.allocate()
    pool.share(block)
    pool.release([block])
    assert (pool.num_holders(block), counts(pool)) == (1, (2, 0, 1))
    pool.release([block])
    assert (pool.num_holders(block), counts(pool)) == (0, (3, 0, 0))


def test_releasing_more_often_than_held_is_our_own_bug(pool: BlockPool) -> None:
    block = pool.allocate()
    with pytest.raises(AssertionError):
        pool.release([block, block])


def test_a_published_block_that_nobody_holds_can_be_found_and_taken_again(pool: BlockPool) -> None:
    block, key = pool.allocate(), block_key(b"", [1, 2])
    assert pool.find(key) is None
    pool.publish(block, key)
    pool.release([block])
    assert (pool.find(key), counts(pool)) == (block, (2, 1, 0))
    pool.share(block)
    assert (pool.num_holders(block), counts(pool)) == (1, (2, 0, 1))


def test_idle_blocks_are_given_up_last_and_in_the_order_in_which_they_were_let_go(pool: BlockPool) -> None:
    blocks = [pool.allocate() for _ in range(3)]
    keys = [block_key(b"", [number]) for number in range(3)]
    for block, key in zip(blocks[:2], keys, strict=False):
        pool.publish(block, key)
    pool.release([blocks[1]])
    pool.release([blocks[0]])
    pool.release([blocks[2]])
    assert counts(pool) == (1, 2, 0)
    assert [pool.allocate() for _ in range(3)] == [blocks[2], blocks[1], blocks[0]]
    assert [pool.find(key) for key in keys] == [None, None, None]


def test_of_two_blocks_with_the_same_content_the_first_stays_known(pool: BlockPool) -> None:
    first, second, key = pool.allocate(), pool.allocate(), block_key(b"", [1, 2])
    pool.publish(first, key)
    pool.publish(second, key)
    assert pool.find(key) == first
    pool.release([second])
    assert counts(pool) == (2, 0, 1)


def test_a_withdrawn_block_is_not_found(pool: BlockPool) -> None:
    block, key = pool.allocate(), block_key(b"", [1, 2])
    pool.publish(block, key)
    pool.withdraw(block)
    pool.withdraw(block)
    assert pool.find(key) is None
    pool.release([block])
    assert counts(pool) == (3, 0, 0)


def test_a_key_names_all_ids_up_to_the_blocks_end() -> None:
    first = block_key(b"", [1, 2])
    assert block_key(b"", [1, 2]) == first
    keys = {
        first,
        block_key(b"", [2, 1]),
        block_key(first, [1, 2]),
        block_key(block_key(b"", [3, 4]), [1, 2]),
    }
    assert len(keys) == 4
