"""Which ids a structure allows, row by row, wherever the context goes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import structlog
from llguidance import LLMatcher
from llguidance.numpy import allocate_token_bitmask, fill_next_token_bitmask

Allowed = npt.NDArray[np.bool_]  # [vocab_size]

_log = structlog.get_logger()


@dataclass(frozen=True)
class RowShape:
    """What the rows of one model have in common.

    Attributes:
        num_tokens: Ids that stand for something.
        vocabulary_size: Columns of the logits; those from `num_tokens` on are padding.
        eos_ids: The ids that end a text.
    """

    num_tokens: int
    vocabulary_size: int
    eos_ids: frozenset[int]


class StructureRows:
    """The masks of one session's rows; one thread at a time may call it.

    It remembers which ids its matcher has consumed, so that a row costs only the ids that are new. Where a context
    differs from them, it goes on from a copy that it kept the last time, and consumes what both have in common again:
    each id twice at most, over all rounds. llguidance's own `rollback` (1.9.1) is not used: behind it, a mask may be
    that of another context.
    """

    def __init__(self, start: LLMatcher, shape: RowShape, num_prompt_tokens: int) -> None:
        """`start` has consumed nothing, and is copied."""
        self._start = start
        self._shape = shape
        self._num_prompt_tokens = num_prompt_tokens
        self._restart()

    def __call__(self, position: int, context_token_ids: Sequence[int]) -> Allowed | None:
        """Return which ids may stand at `position`, or None where any may.

        Any may behind ids that the structure does not allow: those are refused draft tokens, and what follows them is
        refused too. Only an end id may behind an end id, and where the structure cannot go on: because it is complete,
        or, which is logged, because the vocabulary lacks the bytes or a limit of llguidance is reached.
        """
        output_ids = list(context_token_ids[self._num_prompt_tokens : position])
        new_ids = output_ids[self._go_back_to(output_ids) :]
        if not self._shape.eos_ids.isdisjoint(new_ids):
            return self._only_end_ids()
        if not self._consume(new_ids):
            return None
        allowed = self._allowed()
        if not self._matcher.is_error():
            return allowed
        # What the lexer has seen counts against its limits, so the same ids may pass where they come alone.
        self._restart()
        allowed = self._allowed() if self._consume(output_ids) else None
        if self._matcher.is_error():
            reason = self._matcher.get_error().partition("\n")[0]
            _log.warning("structure_ended_early", num_output_tokens=len(output_ids), reason=reason)
        return self._only_end_ids() if allowed is None else allowed

    def _go_back_to(self, output_ids: list[int]) -> int:
        """Undo what is not a prefix of `output_ids`; return how many of them are left as consumed."""
        num_common = _num_common(self._consumed, output_ids)
        if self._matcher.is_error() or num_common < self._num_kept:
            self._restart()
        elif num_common < len(self._consumed):
            self._go_on_from_kept(output_ids[:num_common])
        return len(self._consumed)

    def _go_on_from_kept(self, output_ids: list[int]) -> None:
        """Consume ids that were allowed before once more, behind those of the copy, and keep a new copy there."""
        self._matcher = self._kept
        del self._consumed[self._num_kept :]
        self._consume(output_ids[self._num_kept :])
        if self._matcher.is_error():
            self._restart()
        else:
            self._kept, self._num_kept = self._matcher.deep_copy(), len(self._consumed)

    def _consume(self, new_ids: list[int]) -> bool:
        """Return whether the structure allows all of `new_ids`; those before the first that it does not are kept."""
        num_taken = self._matcher.try_consume_tokens(new_ids)
        self._consumed += new_ids[:num_taken]
        return num_taken == len(new_ids)

    def _restart(self) -> None:
        self._matcher = self._start.deep_copy()
        self._consumed: list[int] = []  # never an end id, which the matcher would not count
        self._kept = (
            self._start.deep_copy()
        )  # what the matcher was when it had consumed the first `_num_kept` ids
        self._num_kept = 0

    def _allowed(self) -> Allowed:
        bitmask = allocate_token_bitmask(1, self._shape.num_tokens)
        fill_next_token_bitmask(self._matcher, bitmask)
        return _unpacked(bitmask, self._shape)

    def _only_end_ids(self) -> Allowed:
        allowed = np.zeros(self._shape.vocabulary_size, np.bool_)
        allowed[list(self._shape.eos_ids)] = True
        return allowed


def _unpacked(bitmask: npt.NDArray[np.int32], shape: RowShape) -> Allowed:
    """Return a bit an id, the lowest of a word first, as a bool an id; padding is not allowed."""
    bits = np.unpackbits(bitmask[0].view(np.uint8), count=shape.vocabulary_size, bitorder="little")
    bits[shape.num_tokens :] = 0
    return bits.view(np.bool_)


def _num_common(left: list[int], right: list[int]) -> int:
    """Count the ids that both begin with."""
    if right[: len(left)] == left:
        return len(left)
    pairs = enumerate(zip(left, right, strict=False))
    return next((at for at, (one, other) in pairs if one != other), min(len(left), len(right)))
