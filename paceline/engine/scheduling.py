"""Which rows run in the next forward pass: a decision from plain data."""

from collections.abc import Sequence as Items
from typing import NamedTuple


class Due(NamedTuple):
    """What one work could run now."""

    num_pending: int  # rows that could run
    is_background: bool
    last_step: int  # number of the pass that served its sequence last, or that ran before it was admitted


class RowBudget(NamedTuple):
    """How many rows a pass may hold."""

    max_rows: int = 64  # in all
    max_decode_rows: int = 16  # of one work that still counts as decoding; more is prefill
    max_prefill_rows_beside: int = 16  # of prefill in all, while other works decode


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
    max_decode_rows = min(budget.max_decode_rows, budget.max_rows)
    decoding = [index for index in order if due[index].num_pending <= max_decode_rows]
    prefilling = [index for index in order if due[index].num_pending > max_decode_rows]
    is_overdue = decoding and prefilling and due[prefilling[0]].last_step < due[decoding[0]].last_step
    num_reserved = min(left, budget.max_prefill_rows_beside) if is_overdue else 0
    for index in decoding:
        if due[index].num_pending <= left - num_reserved:
            rows[index] = due[index].num_pending
            left -= rows[index]
    left = min(left, budget.max_prefill_rows_beside) if any(rows) else left
    for index in prefilling:
        rows[index] = min(due[index].num_pending, left)
        left -= rows[index]
