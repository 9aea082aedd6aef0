"""The blocks of the KV cache: who holds them, and which full ones can be found again by their content.

A block is free, or held (by one sequence or shared by several), or idle: held by none but still known by the ids it
was computed from, so that a later sequence with the same prefix takes it instead of computing it. Idle blocks are
given up in the order in which they were let go, when the free ones run out.
"""

from collections import OrderedDict
from collections.abc import Iterable
from hashlib import blake2b

import numpy as np

# Block 0 belongs to the rows that only fill up a batch; no sequence ever holds it.
PADDING_BLOCK = 0

BlockKey = bytes  # digest of all ids up to and including the block's


class BlockPool:
    """Counts references to blocks 1 to num_blocks - 1. Not thread-safe: one scheduler thread owns it.

    Example: 4 blocks in all, one for padding. A takes 2, B shares the first of them: 1 free, 2 used. A lets both go:
    2 free, 1 used, held by B alone.
    """

    def __init__(self, num_blocks: int, block_size: int) -> None:
        self.num_blocks = num_blocks
        self.block_size = block_size
        self._free = list(range(num_blocks - 1, PADDING_BLOCK, -1))
        self._num_holders = [0] * num_blocks
        self._key_of: dict[int, BlockKey] = {}
        self._block_of: dict[BlockKey, int] = {}
        self._idle: OrderedDict[int, None] = OrderedDict()

    @property
    def num_available(self) -> int:
        """Blocks that `allocate` can hand out: free and idle ones."""
        return len(self._free) + len(self._idle)

    @property
    def num_free(self) -> int:
        """Blocks that hold nothing."""
        return len(self._free)

    @property
    def num_idle(self) -> int:
        """Blocks that no sequence holds but that can be found by their content."""
        return len(self._idle)

    @property
    def num_used(self) -> int:
        """Blocks that a sequence holds."""
        return self.num_blocks - 1 - self.num_available

    def num_holders(self, block: int) -> int:
        """Return how many sequences hold a block."""
        return self._num_holders[block]

    def allocate(self) -> int:
        """Hand out a block, held once; the caller has checked `num_available`."""
        block = self._free.pop() if self._free else self._give_up_oldest()
        self._num_holders[block] = 1
        return block

    def share(self, block: int) -> None:
        """Count one more holder of a block that is held or idle."""
        self._idle.pop(block, None)
        self._num_holders[block] += 1

    def release(self, blocks: Iterable[int]) -> None:
        """Count one holder less; a block that nobody holds any more becomes idle if it is known by content."""
        for block in blocks:
            self._num_holders[block] -= 1
            assert self._num_holders[block] >= 0
            if not self._num_holders[block]:
                self._let_go(block)

    def publish(self, block: int, key: BlockKey) -> None:
        """Make a full block findable. Where another block has the same content already, that one stays the known."""
        if key not in self._block_of and block not in self._key_of:
            self._block_of[key] = block
            self._key_of[block] = key

    def find(self, key: BlockKey) -> int | None:
        """Return the block with this content, to be shared."""
        return self._block_of.get(key)

    def withdraw(self, block: int) -> None:
        """Forget a block's content, because it is about to be overwritten."""
        key = self._key_of.pop(block, None)
        if key is not None:
            del self._block_of[key]

    def _let_go(self, block: int) -> None:
        if block in self._key_of:
            self._idle[block] = None
        else:
            self._free.append(block)

    def _give_up_oldest(self) -> int:
        block, _ = self._idle.popitem(last=False)
        self.withdraw(block)
        return block


def block_key(previous: BlockKey, token_ids: Iterable[int]) -> BlockKey:
    """Return the key of a full block from the key of the block before it (empty at the start) and its ids."""
    ids = np.fromiter(token_ids, np.int64)
    return blake2b(ids.tobytes(), key=previous, digest_size=16).digest()
