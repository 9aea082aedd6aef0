"""Who asks what, and when."""

from dataclasses import replace

from benchmarks.comparison.cell import POISSON, Arrivals, Cell
from benchmarks.comparison.load_plan import Amount, Prompt, clients_of, start_seconds

PROMPTS = tuple(Prompt(name, (ord(name),)) for name in "abc")
AMOUNT = Amount(num_repeats=2, num_groups=1, num_questions_per_session=1, max_tokens=8, seed=5)
CLOSED = Cell("draft=0,target=1", "code", 2, ())
RANDOM = replace(CLOSED, num_sessions=400, arrivals=Arrivals(POISSON, 4.0))


def names(cell: Cell, amount: Amount, group: int) -> list[list[str]]:
    return [[one.name for one in client.questions] for client in clients_of(cell, amount, PROMPTS, 0, group)]


def test_sessions_take_the_prompts_in_turn_from_another_one_in_each_group() -> None:
    assert names(CLOSED, AMOUNT, 0) == [["a"], ["b"]]
    assert names(CLOSED, AMOUNT, 2) == [["c"], ["a"]]


def test_in_a_closed_loop_a_session_asks_again() -> None:
    assert names(CLOSED, replace(AMOUNT, num_questions_per_session=2), 0) == [["a", "b"], ["c", "a"]]


def test_questions_of_a_trial_have_different_seeds_and_the_same_ones_each_time() -> None:
    first, second = (clients_of(RANDOM, AMOUNT, PROMPTS, 1, 0) for _ in range(2))
    assert first == second
    assert len({one.seed for client in first for one in client.questions}) == 400
    other = clients_of(RANDOM, AMOUNT, PROMPTS, 0, 0)
    assert {one.seed for client in first for one in client.questions}.isdisjoint(
        one.seed for client in other for one in client.questions
    )


def test_a_closed_loop_begins_at_once() -> None:
    assert start_seconds(CLOSED, 1) == [0.0, 0.0]


def test_random_arrivals_come_at_their_rate() -> None:
    starts = start_seconds(RANDOM, 1)
    assert starts == sorted(starts)
    assert starts[0] == 0.0
    assert abs(len(starts) / starts[-1] - 4.0) < 0.6  # three standard errors
    assert start_seconds(RANDOM, 1) == starts != start_seconds(RANDOM, 2)
