"""Work for the engine: which ids a sequence goes on with, which rows choose an id, what came of it."""

from collections.abc import Callable
from collections.abc import Sequence as Ids
from concurrent.futures import Future
from dataclasses import dataclass, field
from time import monotonic_ns
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from paceline.engine.sequence import Sequence

TokenIds = npt.NDArray[np.int64]  # [num_tokens]
Logits = npt.NDArray[np.float32]  # [num_rows, vocab_size]

# Chooses one id a row. Called on the scheduler thread, so it must be quick and must not block.
# (logits [num_rows, vocab_size], positions [num_rows] of the ids to be chosen, the sequence's known ids)
#     -> ids [num_rows]
# The id at position p follows the known ids before p; known ids from p on, a draft's say, are no part of its context.
Selector = Callable[[Logits, TokenIds, Ids[int]], TokenIds]


class RowChoice(NamedTuple):
    """How the id of one row is chosen from its logits as the model gave them, by nothing else than this.

    Whatever computes the logits may choose the id where they lie, and must choose the one that
    `paceline.sampling.selector.RowSelector` would.
    """

    position: int  # of the id to be chosen
    seed: int = 0
    temperature: float = 0.0  # 0 is the highest logit, the lowest id of equals
    top_k: int | None = None
    top_p: float = 1.0
    min_p: float = 0.0


@runtime_checkable
class DeclaredSelector(Protocol):
    """A selector that can say beforehand how it would choose."""

    def row_choices(self, positions: Ids[int]) -> list[RowChoice] | None:
        """Return how the ids at these positions are chosen, None where the selector must see the logits itself."""
        ...


@dataclass(frozen=True)
class Work:
    """One wish: make the cache equal to the ids up to here, then choose ids.

    The sequence is truncated to `position`, `token_ids` are appended, and each of the last `num_selected` rows
    chooses the id that would follow it. Then `num_drawn` more ids are drawn one by one, each from the row of the
    one before it; drawing ends early after a stop id, at the context's end, or when `WorkHandle.finish` is called.
    Where num_drawn > 0, the last selected id and the drawn ones are appended to the sequence's known ids.

    Verifying K draft tokens behind the committed id c: token_ids = [c, d1..dK], num_selected = K + 1, num_drawn = 0.
    Proposing K draft tokens behind c: token_ids = [c], num_selected = 1, num_drawn = K - 1.
    Prefill only: num_selected = 0.

    Attributes:
        sequence: Whose cache it is. One work a sequence at a time; a further one waits for the first.
        position: Length to truncate to first. Ids before it must be known to the sequence.
        token_ids: Ids from `position` on, shape [num_tokens]. May be empty only if num_selected counts rows that the
            sequence already has.
        num_selected: How many rows at the end of the ids choose an id.
        num_drawn: Most ids to draw after that, one forward pass each.
        stop_ids: Ids after which nothing more is drawn.
        selector: How an id is chosen; greedy (lowest id of equals) where it is None.
        background: Runs only in passes that other sequences' foreground work does not fill, and can be ended early.
    """

    sequence: Sequence
    position: int
    token_ids: TokenIds
    num_selected: int = 0
    num_drawn: int = 0
    stop_ids: frozenset[int] = frozenset()
    selector: Selector | None = None
    background: bool = False


class WorkTiming(NamedTuple):
    """Where the time of a work went."""

    queue_ns: int  # from submission to the start of the first forward pass
    compute_ns: int  # from then until the last pass that served the work had ended
    num_steps: int  # forward passes
    batch_rows: int  # rows of all sequences in the last pass
    num_cached_tokens: int  # of the work's ids, those whose KV was there already
    batch_sessions: int = 0  # sequences with rows in the last pass
    steps: tuple[int, ...] = ()  # the numbers of the passes


class WorkResult(NamedTuple):
    """What the rows chose."""

    selected_ids: TokenIds  # [num_selected]
    drawn_ids: TokenIds  # [<= num_drawn]
    timing: WorkTiming


@dataclass
class WorkHandle:
    """A submitted work.

    Attributes:
        work: What was asked for.
        wake: Tells the scheduler that something has changed.
        future: Resolves to a WorkResult, or to a PacelineError with the sequence left as it was; an abandoned work
            that has run keeps its ids and what was computed of them.
        chosen_ids: Selected and drawn ids so far, in order; grows while the work runs. Read it from any thread.
        submitted_ns: When it was submitted, on the monotonic clock.
        is_finishing: Whether `finish` has been called.
        is_abandoned: Whether `abandon` has been called.
    """

    work: Work
    wake: Callable[[], None]
    future: "Future[WorkResult]" = field(default_factory=Future)
    chosen_ids: list[int] = field(default_factory=list)
    submitted_ns: int = field(default_factory=monotonic_ns)
    is_finishing: bool = False
    is_abandoned: bool = False

    def finish(self) -> None:
        """End the drawing after the pass that is running now; the future then resolves with what there is."""
        self.is_finishing = True
        self.wake()

    def abandon(self) -> None:
        """End the work before its next pass, because nobody wants its answer; the future fails then."""
        self.is_abandoned = True
        self.wake()
