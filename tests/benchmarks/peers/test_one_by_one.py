"""Loads of peers that generate one text at a time."""

from collections.abc import Callable

from benchmarks.peers.exchange import Client, Load, Manner, Question
from benchmarks.peers.one_by_one import answer_one_by_one


def question(name: str) -> Question:
    return Question(name, (1,), 0)


def test_questions_are_answered_in_the_order_in_which_they_are_due() -> None:
    asked: list[str] = []

    def generate(one: Question, arrive: Callable[[int], None]) -> tuple[int, ...]:
        asked.append(one.name)
        arrive(1)
        arrive(2)
        return (7, 8, 9)

    clients = (Client(0.01, (question("late"), question("later"))), Client(0.0, (question("first"),)))
    answers = answer_one_by_one(Load(clients, Manner("target"), 3, (2,)), generate)
    assert asked == ["first", "late", "later"]
    assert [answer.question for answer in answers] == ["late", "later", "first"]
    assert all(answer.token_ids == (7, 8, 9) for answer in answers)
    assert [[one.num_tokens for one in answer.arrivals] for answer in answers] == [[1, 2]] * 3


def test_the_next_question_of_a_client_is_asked_when_the_one_before_is_answered() -> None:
    def generate(_: Question, arrive: Callable[[int], None]) -> tuple[int, ...]:
        arrive(1)
        return (7,)

    load = Load((Client(0.0, (question("a"), question("b"))),), Manner("target"), 1, (2,))
    first, second = answer_one_by_one(load, generate)
    assert second.asked_seconds >= first.asked_seconds + first.arrivals[-1].seconds
