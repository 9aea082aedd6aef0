"""Which draft length would be fastest."""

import pytest

from paceline.cli.evaluation.reading.pair_speed import PairCosts, best_speed, tokens_per_second

T, F = True, False


def rows_cost(num_rows: int) -> float:
    return 1.0 + 0.1 * num_rows


def test_a_draft_is_ahead_after_a_full_round_only() -> None:
    costs = PairCosts(rows_cost, draft_step_seconds=0.2)
    verify, draft = rows_cost(3), 0.4
    # Rounds: full, full, partial, and one behind it.
    chain = [T, T, F, T, T, F, T, F, T]
    seconds = (verify + draft) + verify + verify + (verify + draft)
    assert tokens_per_second([chain], 2, costs) == pytest.approx(len(chain) / seconds)


def test_a_draft_slower_than_the_target_is_what_is_waited_for() -> None:
    costs = PairCosts(rows_cost, draft_step_seconds=5.0)
    chain = [T, T, F, T, T, F]
    assert tokens_per_second([chain], 2, costs) == pytest.approx(6 / (rows_cost(3) + 10 + 10))


def test_a_draft_that_is_always_right_is_asked_for_much_and_one_that_is_not_for_little() -> None:
    costs = PairCosts(rows_cost, draft_step_seconds=0.05)
    assert best_speed([[T] * 60], (2, 4, 8), costs).num_draft_tokens == 8
    assert best_speed([[F] * 60], (8, 4, 2), costs).num_draft_tokens == 2


def test_of_equals_the_shortest_is_taken() -> None:
    free = PairCosts(lambda _num_rows: 1.0, draft_step_seconds=0.0)
    assert best_speed([[F] * 10], (4, 2), free) == (2, 1.0)
