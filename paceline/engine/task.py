"""One admitted work on its way through the forward passes."""

from time import monotonic, monotonic_ns
from typing import NamedTuple

import numpy as np

from paceline.engine.admission import Admitted
from paceline.engine.batch import Rows
from paceline.engine.scheduling import Due
from paceline.engine.work import Logits, TokenIds, WorkHandle, WorkResult, WorkTiming


class Pass(NamedTuple):
    """One forward pass."""

    step: int  # its number
    batch_rows: int  # rows of all sequences, padding included
    batch_sessions: int  # sequences with rows in it
    started_ns: int  # on the monotonic clock
    duration_ns: int


class Task:
    """Knows which rows of its sequence are still to run, and collects the ids that they choose.

    First it feeds the ids of the work; then, where the work draws, it appends each chosen id and feeds that.
    """

    def __init__(self, handle: WorkHandle, admitted: Admitted) -> None:
        self.handle = handle
        self.sequence = handle.work.sequence
        self._admitted = admitted
        self._first_selected = admitted.num_tokens - handle.work.num_selected
        self._started_ns = monotonic_ns()
        self._steps: list[int] = []
        self._batch_rows = self._batch_sessions = 0

    @property
    def num_pending(self) -> int:
        """Rows that could run now; none means that the work is done."""
        num_unfed = self._admitted.num_tokens - self.sequence.num_computed
        return num_unfed if num_unfed > 0 else int(self._draws_on())

    def due(self) -> Due:
        """Describe the task to the scheduler."""
        has_rest = bool(self._steps) and self.sequence.num_computed < self._admitted.num_tokens
        return Due(self.num_pending, self.handle.work.background, self.sequence.last_step, has_rest)

    def rows(self, num_rows: int) -> Rows:
        """Return the next rows; those that choose an id come with logits."""
        start = self.sequence.num_computed
        stop = start + num_rows
        num_logits = min(num_rows, stop - self._first_selected) if self.handle.work.num_selected else 0
        return Rows(self.sequence.token_ids[start:stop], start, self.sequence.blocks, max(0, num_logits))

    def apply(self, part: Rows, logits: Logits, ran: Pass) -> None:
        """Take in a pass that has run: our rows of it and their logits [part.num_logits, vocab_size]."""
        if not self._steps:
            self._started_ns = ran.started_ns
        self._steps.append(ran.step)
        self._batch_rows, self._batch_sessions = ran.batch_rows, ran.batch_sessions
        self.sequence.last_step = ran.step
        self.sequence.advance(len(part.token_ids))
        if part.num_logits:
            positions = np.arange(part.num_logits) + self.sequence.num_computed - part.num_logits + 1
            self.handle.chosen_ids.extend(self._choose(logits, positions).tolist())
        if self.sequence.num_computed >= self._admitted.num_tokens and self.handle.work.num_drawn:
            self.sequence.token_ids.append(self.handle.chosen_ids[-1])

    def resolve(self) -> None:
        """Give spare blocks back and answer."""
        self._leave_sequence()
        work, ids = self.handle.work, np.array(self.handle.chosen_ids, np.int64)
        timing = WorkTiming(
            queue_ns=self._started_ns - self.handle.submitted_ns,
            compute_ns=monotonic_ns() - self._started_ns,
            num_steps=len(self._steps),
            batch_rows=self._batch_rows,
            num_cached_tokens=self._admitted.num_cached_tokens,
            batch_sessions=self._batch_sessions,
            steps=tuple(self._steps),
        )
        self.handle.future.set_result(WorkResult(ids[: work.num_selected], ids[work.num_selected :], timing))

    def fail(self, error: BaseException) -> None:
        """Give spare blocks back and answer with an error."""
        if not self.sequence.is_closed:
            self._leave_sequence()
        self.handle.future.set_exception(error)

    def _leave_sequence(self) -> None:
        self.sequence.truncate(self.sequence.num_computed)
        self.sequence.idle_since = monotonic()

    def _draws_on(self) -> bool:
        chosen = self.handle.chosen_ids
        num_drawn = len(chosen) - self.handle.work.num_selected
        has_ended = bool(chosen) and chosen[-1] in self.handle.work.stop_ids
        return num_drawn < self._admitted.num_drawn and not has_ended and not self.handle.is_finishing

    def _choose(self, logits: Logits, positions: TokenIds) -> TokenIds:
        selector = self.handle.work.selector
        return (
            choose_greedily(logits)
            if selector is None
            else selector(logits, positions, self.sequence.token_ids)
        )


def choose_greedily(logits: Logits) -> TokenIds:
    """Return the id of the highest logit of each row [num_rows]; of equal ones, which bf16 has often, the lowest id."""
    return logits.argmax(axis=1)
