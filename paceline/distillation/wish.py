"""What the target is asked to write next."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

import numpy as np

from paceline.distillation.framing import Framing

_OPENED_SHARE = 0.5


@dataclass(frozen=True)
class Wish:
    """One text to be written.

    Attributes:
        prompt_ids: What the target goes on from.
        temperature: 0 is greedy.
        seed: Of the noise.
        question: What is to be answered; None where a question is to be written.
        first_words: Of the question that is to be written.
    """

    prompt_ids: list[int]
    temperature: float
    seed: int
    question: str | None = None
    first_words: str = ""


@dataclass(frozen=True)
class Subjects:
    """Where questions come from.

    Attributes:
        prompts: The user's own.
        openings: First words, behind which the target goes on in half of its own questions.
        writes_questions: Whether the target asks itself too; without prompts it has to.
        temperatures: Each question is answered once at each.
    """

    prompts: tuple[str, ...]
    openings: tuple[str, ...]
    writes_questions: bool
    temperatures: tuple[float, ...]


class Wishes:
    """Decides what comes next: answers to questions that are there, then the user's prompts in turn with new ones."""

    def __init__(self, subjects: Subjects, framing: Framing, seed: tuple[int, ...]) -> None:
        """`seed` should differ from run to run of the same corpus, so that nothing is written twice."""
        self._subjects = subjects
        self._framing = framing
        self._generator = np.random.default_rng(seed)
        self._answers: deque[Wish] = deque()
        self._prompts = self._in_rounds()
        self._asks_itself = False
        self._seen: set[str] = set()

    def next(self) -> Wish | None:
        """Return the next wish, None where nothing new can be written."""
        if self._answers:
            return self._answers.popleft()
        subjects = self._subjects
        self._asks_itself = subjects.writes_questions and not (self._asks_itself and subjects.prompts)
        if not self._asks_itself:
            self._answers += next(self._prompts, [])
            if self._answers:
                return self._answers.popleft()
        return self._new_question() if subjects.writes_questions else None

    def answer(self, question: str) -> None:
        """Have a question of the target answered, unless it was asked before."""
        if question not in self._seen:
            self._seen.add(question)
            self._answers += self._answers_to(question, self._subjects.temperatures)

    def _new_question(self) -> Wish:
        openings = self._subjects.openings
        is_opened = openings and self._generator.random() < _OPENED_SHARE
        first_words = openings[self._generator.integers(len(openings))] if is_opened else ""
        return Wish(self._framing.question_prompt(first_words), 1.0, self._seed(), None, first_words)

    def _in_rounds(self) -> Iterator[list[Wish]]:
        """Yield the answers to each prompt; after the first round greedy ones would say nothing new."""
        for number in count():
            temperatures = tuple(one for one in self._subjects.temperatures if one > 0 or number == 0)
            if not temperatures or not self._subjects.prompts:
                return
            for place in self._generator.permutation(len(self._subjects.prompts)).tolist():
                yield self._answers_to(self._subjects.prompts[place], temperatures)

    def _answers_to(self, question: str, temperatures: tuple[float, ...]) -> list[Wish]:
        prompt_ids = self._framing.answer_prompt(question)
        return [Wish(prompt_ids, temperature, self._seed(), question) for temperature in temperatures]

    def _seed(self) -> int:
        return int(self._generator.integers(2**63))
