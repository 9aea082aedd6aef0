"""Which rows run in the next forward pass: a decision from plain data."""

from collections.abc import Sequence as Items
from typing import NamedTuple


class Due(NamedTuple):
    """What one work could run now."""

    num_pending: int  # rows that could run
    is_background: bool
    last_step: int  # number of the pass that served its sequence last


class RowBudget(NamedTuple):
    """How many rows a pass may hold."""

    max_rows: int = 64  # in all
    max_decode_rows: int = 16  # of one work that still counts as decoding; more is prefill
    max_prefill_rows_beside: int = 16  # of prefill in all, while other works decode


def plan_step(due: Items[Due], budget: RowBudget) -> list[int]:
    """Return how many rows each work runs, in the order given.

    Decoding goes first, whole or not at all, so that a round is answered by one pass; who was served longest ago
    comes first. Prefill fills what is left, less of it while somebody decodes. Background work fills what foreground
    work leaves.

    Example: works with 6 and 300 pending rows run 6 and 16 of them, or 64 of the 300 if it is alone.
    """
    rows = [0] * len(due)
    order = sorted(range(len(due)), key=lambda index: (due[index].is_background, due[index].last_step))
    left = budget.max_rows
    for index in order:
        if due[index].num_pending <= min(left, budget.max_decode_rows):
            rows[index] = due[index].num_pending
            left -= rows[index]
    left = min(left, budget.max_prefill_rows_beside) if any(rows) else left
    for index in order:
        if due[index].num_pending > budget.max_decode_rows:
            rows[index] = min(due[index].num_pending, left)
            left -= rows[index]
    return rows
