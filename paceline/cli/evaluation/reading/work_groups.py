"""Many texts through one engine: all at once where they fit its cache, else in groups that do."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, wait
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from paceline.engine.engine import Engine
from paceline.engine.work import Selector, Work, WorkHandle, WorkResult

# Called with the ids that have been chosen, and how many there may be at most.
ChosenReport: TypeAlias = Callable[[int, int], None]

_REPORT_SECONDS = 0.25


@dataclass(frozen=True)
class TextWork:
    """What is done to one sequence from its beginning; the fields are those of `paceline.engine.work.Work`."""

    token_ids: Sequence[int]
    num_selected: int
    num_drawn: int = 0
    stop_ids: frozenset[int] = frozenset()
    selector: Selector | None = None

    @property
    def num_tokens(self) -> int:
        """Ids that the sequence comes to hold at most."""
        return len(self.token_ids) + self.num_drawn

    @property
    def num_chosen(self) -> int:
        """Ids that are chosen at most."""
        return self.num_selected + self.num_drawn


def run_texts(engine: Engine, works: Sequence[TextWork], report: ChosenReport) -> list[WorkResult]:
    """Run works of sequences of their own in continuous batches, and return their results in order.

    Raises what the engine refuses, as WorkTooLargeError where one text alone does not fit the cache.
    """
    num_before, num_total = 0, sum(work.num_chosen for work in works)
    results: list[WorkResult] = []
    lengths = [work.num_tokens for work in works]
    for group in fitting_groups(lengths, engine.info.kv_capacity_tokens, engine.usage().block_size):
        handles = [_submit(engine, works[index]) for index in group]
        for num_chosen in _watched(handles):
            report(num_before + num_chosen, num_total)
        results += [handle.future.result() for handle in handles]
        for handle in handles:
            engine.close_sequence(handle.work.sequence)
        num_before += sum(works[index].num_chosen for index in group)
    report(num_total, num_total)
    return results


def fitting_groups(lengths: Sequence[int], capacity_tokens: int, block_size: int) -> list[list[int]]:
    """Return the indices of texts in groups that fit a cache together, in order; a text too long is alone.

    Example: lengths 30, 40 and 10 in a cache of 96 tokens, in blocks of 32, are the groups [0, 1] and [2].
    """
    groups: list[list[int]] = []
    num_left = 0
    for index, length in enumerate(lengths):
        num_taken = -(-length // block_size) * block_size
        if not groups or num_taken > num_left:
            groups.append([])
            num_left = capacity_tokens
        groups[-1].append(index)
        num_left -= num_taken
    return groups


def _submit(engine: Engine, work: TextWork) -> WorkHandle:
    return engine.submit(
        Work(
            engine.open_sequence(),
            position=0,
            token_ids=np.array(work.token_ids, np.int64),
            num_selected=work.num_selected,
            num_drawn=work.num_drawn,
            stop_ids=work.stop_ids,
            selector=work.selector,
        )
    )


def _watched(handles: Sequence[WorkHandle]) -> Iterator[int]:
    """Yield how many ids have been chosen, now and then until all works have ended."""
    pending = {handle.future for handle in handles}
    while pending:
        _, pending = wait(pending, _REPORT_SECONDS, FIRST_COMPLETED)
        yield sum(len(handle.chosen_ids) for handle in handles)
