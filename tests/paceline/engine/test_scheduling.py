"""Which rows run next: worked examples, and what holds for every mix of works."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paceline.engine.scheduling import Due, RowBudget, plan_step

BUDGET = RowBudget()
DUE = st.builds(
    Due, num_pending=st.integers(0, 200), is_background=st.booleans(), last_step=st.integers(0, 9)
)
WORKS = st.lists(DUE, max_size=12)
BUDGETS = st.builds(
    RowBudget,
    max_rows=st.integers(1, 80),
    max_decode_rows=st.integers(1, 20),
    max_prefill_rows_beside=st.integers(1, 20),
)


def foreground(num_pending: int, last_step: int = 0) -> Due:
    return Due(num_pending, is_background=False, last_step=last_step)


def background(num_pending: int, last_step: int = 0) -> Due:
    return Due(num_pending, is_background=True, last_step=last_step)


@pytest.mark.parametrize(
    ("due", "rows"),
    [
        ([], []),
        ([foreground(6), foreground(300)], [6, 16]),
        ([foreground(300)], [64]),
        ([foreground(300), foreground(300)], [64, 0]),
        ([foreground(300, last_step=2), foreground(300, last_step=1)], [0, 64]),
        ([foreground(20), foreground(20), foreground(30)], [20, 20, 24]),
        ([foreground(16), foreground(17)], [16, 16]),
        ([foreground(10, last_step=step) for step in (7, 6, 5, 4, 3, 2, 1)], [0, 10, 10, 10, 10, 10, 10]),
        ([foreground(0), foreground(1)], [0, 1]),
        ([background(5), foreground(60)], [0, 60]),
        ([background(4), foreground(60)], [4, 60]),
        ([background(300), foreground(6)], [16, 6]),
        ([background(5), foreground(64)], [0, 64]),
    ],
)
def test_decoding_goes_first_and_prefill_fills_what_is_left(due: list[Due], rows: list[int]) -> None:
    assert plan_step(due, BUDGET) == rows


def test_prefill_that_decoding_left_out_is_first_once_all_who_decode_were_served() -> None:
    decoding = [foreground(16, last_step=5) for _ in range(4)]
    assert plan_step([*decoding, foreground(300, last_step=5)], BUDGET) == [16, 16, 16, 16, 0]
    assert plan_step([*decoding, foreground(300, last_step=4)], BUDGET) == [16, 16, 16, 0, 16]


@given(due=WORKS, budget=BUDGETS)
def test_a_pass_holds_no_more_rows_than_are_pending_and_allowed(due: list[Due], budget: RowBudget) -> None:
    rows = plan_step(due, budget)
    assert len(rows) == len(due)
    assert sum(rows) <= budget.max_rows
    assert all(0 <= num <= work.num_pending for num, work in zip(rows, due, strict=True))
    assert any(rows) == any(work.num_pending for work in due)


@given(due=WORKS, budget=BUDGETS)
def test_decoding_runs_whole_or_not_at_all(due: list[Due], budget: RowBudget) -> None:
    most = min(budget.max_decode_rows, budget.max_rows)
    for num, work in zip(plan_step(due, budget), due, strict=True):
        if work.num_pending <= most:
            assert num in {0, work.num_pending}


@given(due=WORKS, budget=BUDGETS)
def test_prefill_beside_decoding_is_held_back(due: list[Due], budget: RowBudget) -> None:
    planned = list(zip(plan_step(due, budget), due, strict=True))
    most = min(budget.max_decode_rows, budget.max_rows)
    prefill = [num for num, work in planned if work.num_pending > most and not work.is_background]
    if any(num for num, work in planned if 0 < work.num_pending <= most and not work.is_background):
        assert sum(prefill) <= budget.max_prefill_rows_beside


@given(due=WORKS, budget=BUDGETS)
def test_background_work_changes_no_row_of_the_foreground(due: list[Due], budget: RowBudget) -> None:
    planned = zip(plan_step(due, budget), due, strict=True)
    alone = [work for work in due if not work.is_background]
    assert [num for num, work in planned if not work.is_background] == plan_step(alone, budget)


@given(
    rows_of_work=st.lists(st.integers(1, 200), min_size=1, max_size=20),
    newcomers=st.lists(st.integers(0, 3), min_size=1, max_size=5),
    budget=BUDGETS,
)
def test_nobody_starves_under_constant_load(
    rows_of_work: list[int], newcomers: list[int], budget: RowBudget
) -> None:
    """Works that are served come back at once with as much to do, and new ones arrive in every pass."""
    last_steps = [0] * len(rows_of_work)
    rows_of_work = list(rows_of_work)
    waited_since = [0] * len(rows_of_work)
    for step in range(1, 120):
        due = [foreground(*one) for one in zip(rows_of_work, last_steps, strict=True)]
        rows = plan_step(due, budget)
        for index, num in enumerate(rows):
            if num:
                last_steps[index] = waited_since[index] = step
        num_ahead = len(due)  # each pass serves one that has waited as long or longer
        assert all(step - since <= num_ahead for since in waited_since)
        num_new = newcomers[step % len(newcomers)] if len(rows_of_work) < 60 else 0
        rows_of_work += [1 + (7 * step) % 90] * num_new
        last_steps += [step] * num_new
        waited_since += [step] * num_new
