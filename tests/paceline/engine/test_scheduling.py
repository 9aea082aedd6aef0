"""Which rows run next: worked examples, and what holds for every mix of works."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paceline.engine.pass_clock import PassClock
from paceline.engine.scheduling import LEAST_PREFILL_ROWS, Due, RowBudget, StallBound, plan_step

BUDGET = RowBudget()
DUE = st.builds(
    Due,
    num_pending=st.integers(0, 200),
    is_background=st.booleans(),
    last_step=st.integers(0, 9),
    is_rest=st.booleans(),
)
WORKS = st.lists(DUE, max_size=12)
BUDGETS = st.builds(
    RowBudget,
    max_rows=st.integers(1, 80),
    max_decode_rows=st.integers(1, 20),
    max_prefill_rows_beside=st.integers(1, 20),
    max_prefill_rows_alone=st.integers(1, 80),
)


def foreground(num_pending: int, last_step: int = 0) -> Due:
    return Due(num_pending, is_background=False, last_step=last_step)


def rest(num_pending: int, last_step: int = 0) -> Due:
    return Due(num_pending, is_background=False, last_step=last_step, is_rest=True)


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
        ([rest(10), foreground(60)], [10, 54]),
        ([rest(16), rest(10), foreground(6)], [16, 0, 6]),
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
        if work.num_pending <= most and not work.is_rest:
            assert num in {0, work.num_pending}


@given(due=WORKS, budget=BUDGETS)
def test_prefill_beside_decoding_is_held_back(due: list[Due], budget: RowBudget) -> None:
    planned = list(zip(plan_step(due, budget), due, strict=True))
    most = min(budget.max_decode_rows, budget.max_rows)
    foreground = [(num, work) for num, work in planned if not work.is_background]
    is_prefill = [work.is_rest or work.num_pending > most for _, work in foreground]
    prefill = sum(num for (num, _), is_one in zip(foreground, is_prefill, strict=True) if is_one)
    if any(num for (num, _), is_one in zip(foreground, is_prefill, strict=True) if not is_one):
        assert prefill <= budget.max_prefill_rows_beside
    else:
        assert prefill <= budget.max_prefill_rows_alone


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
@settings(deadline=None)
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


def test_prompts_get_what_decoding_leaves_of_half_the_bound() -> None:
    clock = PassClock()
    clock.note(1, 0.120)
    clock.note(11, 0.220)
    budget = StallBound(0.6, max_rows=64).budget(
        [foreground(6), foreground(300)], clock, may_decode_soon=True
    )
    assert (budget.max_prefill_rows_beside, budget.max_prefill_rows_alone) == (13, 19)
    assert plan_step([foreground(6), foreground(300)], budget) == [6, 13]
    assert plan_step([foreground(300)], budget) == [19]


def test_prompts_that_hold_nobody_up_fill_the_pass() -> None:
    clock = PassClock()
    clock.note(1, 10.0)
    budget = StallBound(0.6, max_rows=64).budget([foreground(300)], clock, may_decode_soon=False)
    assert plan_step([foreground(300)], budget) == [64]


def test_prompts_go_on_where_decoding_alone_takes_longer_than_the_bound() -> None:
    clock = PassClock()
    clock.note(6, 5.0)
    budget = StallBound(0.6, max_rows=64).budget(
        [foreground(6), foreground(300)], clock, may_decode_soon=True
    )
    assert plan_step([foreground(6), foreground(300)], budget) == [6, LEAST_PREFILL_ROWS]


@given(
    base=st.floats(0.001, 0.12),
    row_price=st.floats(0.0002, 0.012),
    rounds=st.lists(st.integers(1, 8), min_size=1, max_size=3),
    num_prompt_rows=st.integers(1, 3000),
    think_seconds=st.floats(0, 0.5),
)
@settings(deadline=None)
def test_no_round_waits_longer_than_the_bound_beside_a_prompt(
    base: float, row_price: float, rounds: list[int], num_prompt_rows: int, think_seconds: float
) -> None:
    """A machine whose passes take base + rows * price serves sessions that think between rounds, and one prompt."""
    bound, clock = StallBound(0.6, max_rows=64), PassClock()
    for num_rows in (1, 64):
        clock.note(num_rows, base + num_rows * row_price)
    # Where decoding alone fills a pass, prompts have their least rows in this one and in the one before it.
    most_seconds = bound.max_seconds + 2 * LEAST_PREFILL_ROWS * row_price
    now, comes_at = 0.0, [0.0] * len(rounds)
    for step in range(100):
        is_due = [at <= now for at in comes_at]
        due = [foreground(num * here, step) for num, here in zip(rounds, is_due, strict=True)]
        due.append((rest if step else foreground)(num_prompt_rows, step))
        rows = plan_step(due, bound.budget(due, clock, may_decode_soon=not all(is_due)))
        num_prompt_rows -= rows[-1]
        now += base + sum(rows) * row_price
        clock.note(sum(rows), base + sum(rows) * row_price)
        for index, num in enumerate(rows[:-1]):
            if num:
                assert now - comes_at[index] <= most_seconds
                comes_at[index] = now + think_seconds
        if not any(rows):
            now = min(comes_at)
