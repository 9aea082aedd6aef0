"""One admitted work on its way through the forward passes."""

from time import monotonic, monotonic_ns
from typing import NamedTuple

import numpy as np

from paceline.engine.admission import Admitted
from paceline.engine.batch import Rows
from paceline.engine.model_runner import PassLogits
from paceline.engine.scheduling import Due
from paceline.engine.work import (
    DeclaredSelector,
    Logits,
    RowChoice,
    TokenIds,
    WorkHandle,
    WorkResult,
    WorkTiming,
)


class Pass(NamedTuple):
    """One forward pass."""

    step: int  # its number
    batch_rows: int  # rows of all sequences, padding included
    batch_sessions: int  # sequences with rows in it
    started_ns: int  # on the monotonic clock
    duration_ns: int


class ChosenRows(NamedTuple):
    """A task's rows of a pass, and what the device has chosen from them already."""

    logits: PassLogits  # of all tasks
    own: slice  # the task's rows
    ids: list[int | None]  # [num_rows]; None where the host chooses


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

    def row_choices(self, part: Rows) -> list[RowChoice | None]:
        """Return how the id of each row with logits is chosen; None where that takes the selector itself."""
        positions = _positions(part)
        selector = self.handle.work.selector
        if selector is None:
            return [RowChoice(position) for position in positions]
        declared = selector.row_choices(positions) if isinstance(selector, DeclaredSelector) else None
        return [None] * len(positions) if declared is None else [*declared]

    def apply(self, part: Rows, chosen: ChosenRows, ran: Pass) -> None:
        """Take in a pass that has run, and our rows of it."""
        if not self._steps:
            self._started_ns = ran.started_ns
        self._steps.append(ran.step)
        self._batch_rows, self._batch_sessions = ran.batch_rows, ran.batch_sessions
        self.sequence.last_step = ran.step
        self.sequence.advance(len(part.token_ids))
        if part.num_logits:
            self.handle.chosen_ids.extend(self._choose(chosen, _positions(part)))
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

    def _choose(self, chosen: ChosenRows, positions: range) -> list[int]:
        known = [token_id for token_id in chosen.ids if token_id is not None]
        if len(known) == len(positions):
            return known
        logits, selector = chosen.logits[chosen.own], self.handle.work.selector
        if selector is None:
            return choose_greedily(logits).tolist()
        return selector(logits, np.array(positions, np.int64), self.sequence.token_ids).tolist()


def _positions(part: Rows) -> range:
    """Of the ids that the rows with logits choose."""
    stop = part.start + len(part.token_ids) + 1
    return range(stop - part.num_logits, stop)


def choose_greedily(logits: Logits) -> TokenIds:
    """Return the id of the highest logit of each row [num_rows]; of equal ones, which bf16 has often, the lowest id."""
    return logits.argmax(axis=1)
