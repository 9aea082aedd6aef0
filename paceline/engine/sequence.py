"""One sequence: the ids that are known, and the blocks that hold the KV of the first of them."""

from collections.abc import Callable

from paceline.engine.block_pool import BlockKey, BlockPool, block_key


class Sequence:
    """A session's place in one cache. The scheduler thread alone changes it.

    Ids are the truth and the KV is disposable: blocks of a sequence that does no work may be taken away, and are
    computed again when it goes on.

    Attributes:
        token_ids: All known ids, those chosen by the engine included.
        num_computed: The first `num_computed` ids have their KV in `blocks`.
        blocks: Blocks in order; block i holds the positions from i * block_size on.
        last_step: Number of the scheduler's step that served it last, or that ran before its work was admitted.
        admission: Number of the admission since which its works have kept KV here; 0 where there is none.
        idle_since: When its last work ended, on the monotonic clock; 0 where none has.
        away_seconds: How long after a work its next one comes, the latest ones most; None where none has.
        is_closed: Its blocks are gone for good.
    """

    def __init__(self, pool: BlockPool) -> None:
        self._pool = pool
        self.token_ids: list[int] = []
        self.num_computed = 0
        self.blocks: list[int] = []
        self._keys: list[BlockKey] = []  # of the leading full blocks
        self.last_step = 0
        self.admission = 0
        self.idle_since = 0.0
        self.away_seconds: float | None = None
        self.is_closed = False

    @property
    def is_live(self) -> bool:
        """Whether works of its own have left KV here: a session that goes on, not a newcomer."""
        return self.admission > 0

    def note_return(self, submitted_at: float) -> None:
        """Take in when a work came that followed another one, on the monotonic clock."""
        seconds = max(0.0, submitted_at - self.idle_since)
        self.away_seconds = seconds if self.away_seconds is None else (self.away_seconds + seconds) / 2

    def truncate(self, num_computed: int) -> None:
        """Drop the KV from a position on, and blocks that hold none of what is left. O(1) but for those blocks.

        The last ones go first, so that the pool gives up the end of a prefix before its beginning.
        """
        assert num_computed <= self.num_computed
        num_blocks = -(-num_computed // self._pool.block_size)
        self._pool.release(reversed(self.blocks[num_blocks:]))
        del self.blocks[num_blocks:]
        del self._keys[num_computed // self._pool.block_size :]
        self.num_computed = num_computed

    def adopt(self, blocks: list[int], keys: list[BlockKey]) -> None:
        """Hold found full blocks behind the own ones; the pool counts us as a holder already.

        `keys` are those of all leading full blocks, the found ones included. Without blocks nothing changes.
        """
        if blocks:
            assert self.num_computed == len(self.blocks) * self._pool.block_size
            self.blocks += blocks
            self._keys = list(keys)
            self.num_computed = len(self.blocks) * self._pool.block_size

    def make_last_block_writable(self, copy_block: Callable[[int, int], None]) -> None:
        """Copy a partly filled block that others hold too, so that what is appended is ours alone."""
        if not self.num_computed % self._pool.block_size:
            return
        shared = self.blocks[-1]
        if self._pool.num_holders(shared) == 1:
            self._pool.withdraw(shared)
            return
        self.blocks[-1] = self._pool.allocate()
        copy_block(shared, self.blocks[-1])
        self._pool.release([shared])

    def inherit(self, source: "Sequence") -> None:
        """Share all ids and blocks of another sequence; ours is empty.

        The source may be at work: it writes behind what is shared, and either copies the last block before it
        changes what the other reads.
        """
        assert not self.blocks
        self.token_ids = list(source.token_ids)
        self.num_computed = source.num_computed
        self.last_step = source.last_step
        size = self._pool.block_size
        self.blocks = source.blocks[: -(-self.num_computed // size)]
        self._keys = source.keys(self.num_computed // size, self.token_ids, self.num_computed)
        for block in self.blocks:
            self._pool.share(block)

    def advance(self, num_rows: int) -> None:
        """Count rows whose KV has just been written, and publish the blocks that they filled."""
        self.num_computed += num_rows
        size = self._pool.block_size
        while len(self._keys) < self.num_computed // size:
            start = len(self._keys) * size
            key = block_key(self._keys[-1] if self._keys else b"", self.token_ids[start : start + size])
            self._pool.publish(self.blocks[len(self._keys)], key)
            self._keys.append(key)

    def keys(self, num_blocks: int, token_ids: list[int], num_agreeing: int) -> list[BlockKey]:
        """Return the keys of the first `num_blocks` full blocks of ids, which begin with `num_agreeing` of our own."""
        size = self._pool.block_size
        keys = self._keys[: min(num_blocks, num_agreeing // size)]
        for index in range(len(keys), num_blocks):
            keys.append(block_key(keys[-1] if keys else b"", token_ids[index * size : (index + 1) * size]))
        return keys

    def evict(self) -> None:
        """Give all blocks back and keep the ids."""
        self.truncate(0)
        self.admission = 0

    def close(self) -> None:
        """Give all blocks back for good."""
        self.evict()
        self.is_closed = True
