"""Admission: a work takes all the blocks that it can need before its first row runs, or nothing is changed.

So a running work never waits for a block, and those that wait for one hold none that could not be taken from them:
there is no deadlock.
"""

from collections import Counter
from collections.abc import Callable
from collections.abc import Sequence as Items
from dataclasses import dataclass
from typing import Literal, NamedTuple

from paceline.engine.block_pool import BlockKey, BlockPool
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
from paceline.errors import InvalidRequestError

# Copies the KV of one block over another's: (source, destination).
CopyBlock = Callable[[int, int], None]

# What a work may use of the KV that is there, its own sequence's or another's:
# "keep": its own as far as the ids agree, then full blocks of others; the last block is written over from there on.
# "partial": full blocks alone, so that no block is written twice while it is held, and none is ever copied.
# "rebuild": nothing; every id is computed.
CacheUpdate = Literal["keep", "partial", "rebuild"]


class Limits(NamedTuple):
    """What works are held to."""

    vocabulary_size: int
    max_context_tokens: int


class Admitted(NamedTuple):
    """What admission settled."""

    num_tokens: int  # ids of the sequence before anything is drawn
    num_drawn: int  # ids to draw, cut at the context's end
    num_cached_tokens: int  # of the work's ids, those whose KV was there already


class _Reuse(NamedTuple):
    """Which KV stays: the sequence's own first tokens, then full blocks that were found by their content."""

    num_kept: int
    found: list[int]
    keys: list[BlockKey]


@dataclass(frozen=True)
class AdmissionPlan:
    """How a work will find its room; nothing has been changed yet.

    Attributes:
        token_ids: The sequence's ids before anything is drawn.
        num_drawn: Ids to draw, cut at the context's end.
        num_blocks: Blocks that the sequence will hold.
        reuse: Which KV stays.
        evicted: Idle sequences that lose their blocks.
    """

    token_ids: list[int]
    num_drawn: int
    num_blocks: int
    reuse: _Reuse
    evicted: list[Sequence]


def plan_admission(
    work: Work,
    pool: BlockPool,
    limits: Limits,
    evictable: Callable[[], Items[Sequence]],
    cache_update: CacheUpdate = "keep",
) -> AdmissionPlan:
    """Return how a work's sequence comes to the point where its first row can run.

    `evictable` names the idle sequences that may lose their blocks where room is lacking, in this order.
    `cache_update` says what may be used of the KV that is there.

    Raises:
        SequenceClosedError, PositionMismatchError, TokenOutOfVocabularyError, ContextTooLongError,
        InvalidRequestError: The work cannot be done.
        WorkTooLargeError: It could not be done in the empty cache either.
        BlocksExhaustedError: There is no room now.
    """
    num_drawn = _check(work, limits)
    token_ids = work.sequence.token_ids[: work.position] + work.token_ids.tolist()
    num_blocks = _num_blocks(len(token_ids) + num_drawn, pool)
    _check_size(num_blocks, pool)
    reuse = _find_reuse(work, token_ids, pool, cache_update)
    evicted = _evictions(work.sequence, pool, reuse, num_blocks, evictable)
    return AdmissionPlan(token_ids, num_drawn, num_blocks, reuse, evicted)


def carry_out(plan: AdmissionPlan, work: Work, pool: BlockPool, copy_block: CopyBlock) -> Admitted:
    """Give a work's sequence its ids and blocks; nothing else may have changed since it was planned."""
    reuse, sequence, position = plan.reuse, work.sequence, work.position
    for block in reuse.found:
        pool.share(block)
    for idle in plan.evicted:
        idle.evict()
    sequence.truncate(reuse.num_kept)
    sequence.token_ids = plan.token_ids
    sequence.adopt(reuse.found, reuse.keys)
    sequence.make_last_block_writable(copy_block)
    sequence.blocks += [pool.allocate() for _ in range(plan.num_blocks - len(sequence.blocks))]
    num_ready = reuse.num_kept + len(reuse.found) * pool.block_size
    return Admitted(len(plan.token_ids), plan.num_drawn, max(0, num_ready - position))


def _check(work: Work, limits: Limits) -> int:
    """Refuse what cannot be done; return how many ids there is room to draw."""
    sequence, num_tokens = work.sequence, work.position + len(work.token_ids)
    if sequence.is_closed:
        raise SequenceClosedError("The session was released.")
    if not 0 <= work.position <= len(sequence.token_ids):
        message = (
            f"The cache knows {len(sequence.token_ids)} ids, not {work.position}; send them from position 0."
        )
        known = len(sequence.token_ids)
        raise PositionMismatchError(message, position=work.position, known_position=known)
    if num_tokens > limits.max_context_tokens:
        message = f"{num_tokens} tokens do not fit the context of {limits.max_context_tokens}."
        raise ContextTooLongError(
            message, num_tokens=num_tokens, max_context_tokens=limits.max_context_tokens
        )
    _check_ids(work, limits)
    if not 0 <= work.num_selected <= num_tokens or (work.num_drawn and not work.num_selected):
        raise InvalidRequestError("Only known rows can choose ids, and drawing goes on from a chosen one.")
    if work.num_drawn < 0:
        raise InvalidRequestError(f"{work.num_drawn} ids cannot be drawn.", field="num_drawn")
    return min(work.num_drawn, limits.max_context_tokens - num_tokens)


def _check_ids(work: Work, limits: Limits) -> None:
    if not len(work.token_ids):
        return
    low, high = int(work.token_ids.min()), int(work.token_ids.max())
    if low < 0 or high >= limits.vocabulary_size:
        token_id = low if low < 0 else high
        message = f"The token id {token_id} is not in the vocabulary of {limits.vocabulary_size}."
        raise TokenOutOfVocabularyError(message, token_id=token_id, vocabulary_size=limits.vocabulary_size)


def _find_reuse(work: Work, token_ids: list[int], pool: BlockPool, cache_update: CacheUpdate) -> _Reuse:
    """Say which KV stays, see CacheUpdate; rows that choose an id are computed in any case.

    Example: blocks of 4 tokens, KV of 10 ids that agree, and a work that goes on to 11 ids and chooses behind the last
    one. "keep" computes 1 row, "partial" 3 and "rebuild" 11.
    """
    if cache_update == "rebuild":
        return _Reuse(0, [], [])
    sequence, num_reusable = work.sequence, len(token_ids) - work.num_selected
    num_kept = min(_num_agreeing(sequence, work.position, token_ids), sequence.num_computed, num_reusable)
    num_whole, num_findable = num_kept // pool.block_size, num_reusable // pool.block_size
    if cache_update == "partial":
        num_kept = num_whole * pool.block_size
    keys = sequence.keys(num_findable, token_ids, num_kept) if num_findable > num_whole else []
    found: list[int] = []
    for key in keys[num_whole:]:
        block = pool.find(key)
        if block is None:
            break
        found.append(block)
    if found:
        num_kept = num_whole * pool.block_size
    return _Reuse(num_kept, found, keys[: num_whole + len(found)])


def _num_agreeing(sequence: Sequence, position: int, token_ids: list[int]) -> int:
    """Length of the common beginning of the known ids and the new ones, which agree up to `position`."""
    pairs = zip(sequence.token_ids[position:], token_ids[position:], strict=False)
    num_same = 0
    for known, new in pairs:
        if known != new:
            break
        num_same += 1
    return position + num_same


def _check_size(num_blocks: int, pool: BlockPool) -> None:
    num_total = pool.num_blocks - 1
    if num_blocks > num_total:
        message = (
            f"The work needs {num_blocks} blocks of {pool.block_size} tokens and the whole KV cache has {num_total}: "
            "it can never run here. Send fewer tokens, or give the replica more KV memory."
        )
        raise WorkTooLargeError(
            message, num_needed=num_blocks, num_free=pool.num_available, num_total=num_total
        )


def _evictions(
    sequence: Sequence,
    pool: BlockPool,
    reuse: _Reuse,
    num_blocks: int,
    evictable: Callable[[], Items[Sequence]],
) -> list[Sequence]:
    """Return who loses its blocks so that the rest can be allocated; raises BlocksExhaustedError.

    None of them could be left out: a sequence whose blocks others hold too loses them only where these others do.
    """
    room = _Room(sequence, pool, reuse, num_blocks)
    if room.is_enough:
        return []
    let_go: list[Sequence] = []
    for idle in evictable():
        if room.is_enough:
            break
        if idle is not sequence:
            room.let_go(idle.blocks)
            let_go.append(idle)
    if not room.is_enough:
        raise _exhausted(room, pool)
    return [idle for idle in reversed(let_go) if not _is_spared(idle, room)]


def _is_spared(idle: Sequence, room: "_Room") -> bool:
    """Take a sequence's blocks back if there is room without them."""
    room.take_back(idle.blocks)
    if room.is_enough:
        return True
    room.let_go(idle.blocks)
    return False


def _exhausted(room: "_Room", pool: BlockPool) -> BlocksExhaustedError:
    message = (
        f"The KV cache has {room.num_free} free blocks of {pool.block_size} tokens and {room.num_needed} are needed. "
        "Try again when other sessions have ended, or give the replica more KV memory."
    )
    return BlocksExhaustedError(
        message, num_needed=room.num_needed, num_free=room.num_free, num_total=pool.num_blocks - 1
    )


class _Room:
    """Counts the blocks that there would be, before anything is changed.

    Attributes:
        num_free: Blocks that could be allocated once the found ones are taken and all that was let go is given back.
    """

    def __init__(self, sequence: Sequence, pool: BlockPool, reuse: _Reuse, num_blocks: int) -> None:
        own = sequence.blocks[: _num_blocks(reuse.num_kept, pool)]
        self._pool = pool
        self._num_let_go = Counter(dict.fromkeys(reuse.found, -1))
        self._num_new = num_blocks - len(own) - len(reuse.found)
        self._appended_to = own[-1] if reuse.num_kept % pool.block_size else None
        self.num_free = pool.num_available - sum(not pool.num_holders(block) for block in reuse.found)
        self.let_go(sequence.blocks[len(own) :])

    @property
    def num_needed(self) -> int:
        """Blocks to allocate; one that is appended to and stays shared needs one for its copy."""
        is_copied = self._appended_to is not None and self._num_holders(self._appended_to) > 1
        return self._num_new + is_copied

    @property
    def is_enough(self) -> bool:
        """Whether all blocks could be allocated."""
        return self.num_needed <= self.num_free

    def let_go(self, blocks: list[int]) -> None:
        """Count one holder less of each block."""
        self._num_let_go.update(blocks)
        self.num_free += sum(self._num_holders(block) == 0 for block in blocks)

    def take_back(self, blocks: list[int]) -> None:
        """Undo `let_go`."""
        self.num_free -= sum(self._num_holders(block) == 0 for block in blocks)
        self._num_let_go.subtract(blocks)

    def _num_holders(self, block: int) -> int:
        return self._pool.num_holders(block) - self._num_let_go[block]


def _num_blocks(num_tokens: int, pool: BlockPool) -> int:
    return -(-num_tokens // pool.block_size)
