"""A load for a peer that generates one text at a time: first come, first served."""

import heapq
import time
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.peers.exchange import Answer, Arrival, Load, Question

# Called with a question and with what is to be told the number of tokens whenever some arrive; returns the ids.
Generate = Callable[[Question, Callable[[int], None]], tuple[int, ...]]


@dataclass(frozen=True, order=True)
class _Due:
    """The next question of a client, ordered by when it is due."""

    seconds: float
    client: int
    number: int


def answer_one_by_one(load: Load, generate: Generate) -> tuple[Answer, ...]:
    """Return the answers to all questions of a load; a question waits until those before it are answered."""
    began_at = time.monotonic()
    waiting = [_Due(client.start_seconds, number, 0) for number, client in enumerate(load.clients)]
    heapq.heapify(waiting)
    answers: dict[tuple[int, int], Answer] = {}
    while waiting:
        due = heapq.heappop(waiting)
        time.sleep(max(0.0, began_at + due.seconds - time.monotonic()))
        questions = load.clients[due.client].questions
        answers[due.client, due.number] = _answer(questions[due.number], began_at, due.seconds, generate)
        if due.number + 1 < len(questions):
            heapq.heappush(waiting, _Due(time.monotonic() - began_at, due.client, due.number + 1))
    return tuple(answers[key] for key in sorted(answers))


def _answer(question: Question, began_at: float, asked_seconds: float, generate: Generate) -> Answer:
    arrivals: list[Arrival] = []
    asked_at = began_at + asked_seconds

    def arrive(num_tokens: int) -> None:
        arrivals.append(Arrival(time.monotonic() - asked_at, num_tokens))

    token_ids = generate(question, arrive)
    return Answer(question.name, asked_seconds, token_ids, tuple(arrivals))
