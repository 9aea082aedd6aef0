"""Which rows run in the next forward pass: a decision from plain data."""

from collections.abc import Sequence as Items
from typing import NamedTuple

from paceline.engine.pass_clock import PassClock

# Prompts go on whatever decoding takes.
LEAST_PREFILL_ROWS = 4


class Due(NamedTuple):
    """What one work could run now."""

    num_pending: int  # rows that could run
    is_background: bool
    last_step: int  # number of the pass that served its sequence last, or that ran before it was admitted
    is_rest: bool = False  # of rows that were too many for one pass: the end of a prompt is no decoding


class RowBudget(NamedTuple):
    """How many rows a pass may hold."""

    max_rows: int = 64  # in all
    max_decode_rows: int = 16  # of one work that still counts as decoding; more is prefill
    max_prefill_rows_beside: int = 16  # of prefill in all, while other works decode
    max_prefill_rows_alone: int = 64  # of prefill in all, where none does


class StallBound(NamedTuple):
    """How long prompts may hold up those who decode.

    A round waits for the pass that runs when it comes, and then for its own: prompts make neither longer than half of
    `max_seconds`, but for LEAST_PREFILL_ROWS where decoding alone takes so long.
    """

    max_seconds: float
    max_rows: int  # of a pass, whatever its duration

    def budget(self, due: Items[Due], clock: PassClock, *, may_decode_soon: bool) -> RowBudget:
        """Return what a pass may hold; `may_decode_soon` says whether a session is between two rounds.

        Example: where 18 rows take half the bound, 6 that decode leave 12 to prompts.
        """
        default = RowBudget(self.max_rows, max_prefill_rows_alone=self.max_rows)
        num_rows = clock.rows_within(self.max_seconds / 2)
        if num_rows is None:
            return default
        num_decoding = sum(work.num_pending for work in due if _is_decoding(work, default))
        return default._replace(
            max_prefill_rows_beside=self._held(num_rows - num_decoding),
            max_prefill_rows_alone=self._held(num_rows) if may_decode_soon else self.max_rows,
        )

    def _held(self, num_rows: int) -> int:
        return min(max(num_rows, LEAST_PREFILL_ROWS), self.max_rows)


def plan_step(due: Items[Due], budget: RowBudget) -> list[int]:
    """Return how many rows each work runs, in the order given.

    Decoding goes first, whole or not at all, so that a round is answered by one pass; who was served longest ago
    comes first. Prefill fills what is left, less of it while somebody decodes; if decoding left it nothing since all
    who decode were served, its share comes first. So who has waited longest is in every pass, and nobody starves.
    Background work fills what foreground work leaves: the foreground's rows are the same with and without it.

    Example: works with 6 and 300 pending rows run 6 and 16 of them, or 64 of the 300 if it is alone.
    """
    rows = [0] * len(due)
    by_wait = sorted(range(len(due)), key=lambda index: due[index].last_step)
    _fill(rows, [index for index in by_wait if not due[index].is_background], due, budget)
    _fill(rows, [index for index in by_wait if due[index].is_background], due, budget)
    return rows


def _fill(rows: list[int], order: Items[int], due: Items[Due], budget: RowBudget) -> None:
    """Give the works of `order` the rows that others have left."""
    left = budget.max_rows - sum(rows)
    decoding = [index for index in order if _is_decoding(due[index], budget)]
    prefilling = [index for index in order if not _is_decoding(due[index], budget)]
    is_overdue = decoding and prefilling and due[prefilling[0]].last_step < due[decoding[0]].last_step
    num_reserved = min(left, budget.max_prefill_rows_beside) if is_overdue else 0
    for index in decoding:
        if due[index].num_pending <= left - num_reserved:
            rows[index] = due[index].num_pending
            left -= rows[index]
    left = min(left, budget.max_prefill_rows_beside if any(rows) else budget.max_prefill_rows_alone)
    for index in prefilling:
        rows[index] = min(due[index].num_pending, left)
        left -= rows[index]


def _is_decoding(work: Due, budget: RowBudget) -> bool:
    return not work.is_rest and work.num_pending <= min(budget.max_decode_rows, budget.max_rows)
