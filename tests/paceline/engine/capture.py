"""Looking at logits through the real engine, and making works meet in one pass."""

from collections.abc import Iterator
from collections.abc import Sequence as Ids
from contextlib import contextmanager
from threading import Event
from typing import Any

import numpy as np

from paceline.engine.engine import Engine
from paceline.engine.sequence import Sequence
from paceline.engine.work import Logits, TokenIds, Work, WorkHandle, WorkResult


class Capture:
    """A greedy selector that keeps the logits it has chosen from."""

    def __init__(self) -> None:
        self._passes: list[Logits] = []

    def __call__(self, logits: Logits, *_: object) -> TokenIds:
        self._passes.append(logits.copy())
        return logits.argmax(axis=1)

    @property
    def logits(self) -> Logits:
        """Of all chosen ids, [num_ids, vocab_size]."""
        return np.concatenate(self._passes)


def work_of(sequence: Sequence, position: int, ids: list[int], num_selected: int, capture: Capture) -> Work:
    return Work(sequence, position, np.array(ids, np.int64), num_selected, selector=capture)


def run(engine: Engine, sequence: Sequence, position: int, ids: Ids[int], **fields: Any) -> WorkResult:
    """Run one work to its end."""
    work = Work(sequence, position, np.array(ids, np.int64), **fields)
    return engine.submit(work).future.result()


def logits_of(
    engine: Engine, sequence: Sequence, position: int, ids: list[int], num_selected: int | None = None
) -> Logits:
    """Logits of the last `num_selected` rows, all of `ids` where None, [num_selected, vocab_size]."""
    capture = Capture()
    num_selected = len(ids) if num_selected is None else num_selected
    engine.submit(work_of(sequence, position, ids, num_selected, capture)).future.result()
    return capture.logits


class _Holder:
    """A selector that keeps the scheduler thread waiting."""

    def __init__(self) -> None:
        self.is_running = Event()
        self.may_go = Event()

    def __call__(self, logits: Logits, *_: object) -> TokenIds:
        self.is_running.set()
        self.may_go.wait()
        return logits.argmax(axis=1)


@contextmanager
def held(engine: Engine) -> Iterator[None]:
    """Hold the scheduler: all that is submitted in the block is admitted together after it."""
    holder, sequence = _Holder(), engine.open_sequence()
    handle = engine.submit(Work(sequence, 0, np.array([0], np.int64), 1, selector=holder))
    holder.is_running.wait()
    try:
        yield
    finally:
        holder.may_go.set()
        handle.future.result()
        engine.close_sequence(sequence)


def submit_together(engine: Engine, works: list[Work]) -> list[WorkHandle]:
    """Submit works that the scheduler takes in at once, so that they share passes."""
    with held(engine):
        return [engine.submit(work) for work in works]


def logits_together(engine: Engine, prompts: Ids[list[int]]) -> tuple[list[Logits], int]:
    """Logits of all rows of prompts that share passes, and how many sessions met in the fullest of them."""
    captures = [Capture() for _ in prompts]
    works = [
        work_of(engine.open_sequence(), 0, prompt, len(prompt), capture)
        for prompt, capture in zip(prompts, captures, strict=True)
    ]
    results = [handle.future.result() for handle in submit_together(engine, works)]
    return [capture.logits for capture in captures], max(one.timing.batch_sessions for one in results)


def settle(engine: Engine) -> None:
    """Wait until all that was handed in before is done: errands go first, works in order."""
    sequence = engine.open_sequence()
    engine.submit(Work(sequence, 0, np.empty(0, np.int64))).future.result()
