"""Admission: a work takes all the blocks that it can need before its first row runs, or nothing is changed."""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import NamedTuple

from paceline.engine.block_pool import BlockKey, BlockPool
from paceline.engine.errors import (
    BlocksExhaustedError,
    ContextTooLongError,
    PositionMismatchError,
    SequenceClosedError,
    TokenOutOfVocabularyError,
)
from paceline.engine.sequence import Sequence
from paceline.engine.work import Work
from paceline.errors import InvalidRequestError

# Copies the KV of one block over another's: (source, destination).
CopyBlock = Callable[[int, int], None]


class Limits(NamedTuple):
    """What works are held to."""

    vocabulary_size: int
    max_context_tokens: int


class Admitted(NamedTuple):
    """What admission settled."""

    num_tokens: int  # ids of the sequence before anything is drawn
    num_drawn: int  # ids to draw, cut at the context's end
    num_cached_tokens: int  # tokens whose KV was found in shared blocks


class _Reuse(NamedTuple):
    """Which KV stays: the sequence's own first tokens, then full blocks that were found by their content."""

    num_kept: int
    found: list[int]
    keys: list[BlockKey]


def admit(
    work: Work, pool: BlockPool, limits: Limits, idle_sequences: Iterable[Sequence], copy_block: CopyBlock
) -> Admitted:
    """Bring a work's sequence to the point where its first row can run.

    Idle sequences lose their blocks, in the given order, where that is needed to make room.

    Raises:
        SequenceClosedError, PositionMismatchError, TokenOutOfVocabularyError, ContextTooLongError,
        InvalidRequestError, BlocksExhaustedError: The sequence is as it was then.
    """
    num_drawn = _check(work, limits)
    sequence = work.sequence
    token_ids = sequence.token_ids[: work.position] + work.token_ids.tolist()
    num_blocks = _num_blocks(len(token_ids) + num_drawn, pool)
    reuse = _find_reuse(work, token_ids, pool)
    _make_room(sequence, pool, reuse, num_blocks, idle_sequences)
    sequence.truncate(reuse.num_kept)
    sequence.token_ids = token_ids
    sequence.adopt(reuse.found, reuse.keys)
    sequence.make_last_block_writable(copy_block)
    sequence.blocks += [pool.allocate() for _ in range(num_blocks - len(sequence.blocks))]
    return Admitted(len(token_ids), num_drawn, len(reuse.found) * pool.block_size)


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


def _find_reuse(work: Work, token_ids: list[int], pool: BlockPool) -> _Reuse:
    """Own KV is kept as far as the ids agree, then full blocks by content; rows that choose an id are computed."""
    sequence, num_reusable = work.sequence, len(token_ids) - work.num_selected
    num_kept = min(_num_agreeing(sequence, work.position, token_ids), sequence.num_computed, num_reusable)
    num_whole, num_findable = num_kept // pool.block_size, num_reusable // pool.block_size
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


def _make_room(
    sequence: Sequence, pool: BlockPool, reuse: _Reuse, num_blocks: int, idle_sequences: Iterable[Sequence]
) -> None:
    """Take the found blocks, and see to it that the rest can be allocated; raises BlocksExhaustedError."""
    others = [one for one in idle_sequences if one is not sequence]
    room = _Room(sequence, pool, reuse, num_blocks)
    num_evicted = 0
    while room.num_needed > room.num_free and num_evicted < len(others):
        room.let_go(others[num_evicted].blocks)
        num_evicted += 1
    if room.num_needed > room.num_free:
        message = (
            f"The KV cache has {room.num_free} free blocks of {pool.block_size} tokens and {room.num_needed} are "
            "needed. Try again when other sessions have ended, or give the replica more KV memory."
        )
        raise BlocksExhaustedError(
            message, num_needed=room.num_needed, num_free=room.num_free, num_total=pool.num_blocks - 1
        )
    for block in reuse.found:
        pool.share(block)
    for idle in others[:num_evicted]:
        idle.evict()


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

    def let_go(self, blocks: list[int]) -> None:
        """Count one holder less of each block."""
        self._num_let_go.update(blocks)
        self.num_free += sum(self._num_holders(block) == 0 for block in blocks)

    def _num_holders(self, block: int) -> int:
        return self._pool.num_holders(block) - self._num_let_go[block]


def _num_blocks(num_tokens: int, pool: BlockPool) -> int:
    return -(-num_tokens // pool.block_size)
