"""The target writes: questions of its own, and answers to them and to the user's, many at once."""

import queue
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass

import numpy as np

from paceline.distillation.corpus import Corpus
from paceline.distillation.document import Document, prompt_key
from paceline.distillation.framing import Framing
from paceline.distillation.labels import LabelRecorder
from paceline.distillation.wish import Wish, Wishes
from paceline.engine.engine import Engine
from paceline.engine.errors import ContextTooLongError, WorkTooLargeError
from paceline.engine.sequence import Sequence
from paceline.engine.work import Work, WorkHandle, WorkResult
from paceline.sampling.parameters import SamplingParameters
from paceline.sampling.selector import selector_for

# A shard is half a minute's work on a core: what an interruption costs at most.
SHARD_TOKENS = 20_000
# The tail of a distribution makes questions that mean nothing.
_QUESTION_TOP_P = 0.95


@dataclass(frozen=True)
class WritingPlan:
    """How texts are written.

    Attributes:
        num_sessions: Texts at once.
        max_question_tokens: Longest question; a longer one is given up.
        max_answer_tokens: Where answers are cut.
        num_labels: Soft labels kept of each token.
        end_ids: Ids that end a text.
    """

    num_sessions: int
    max_question_tokens: int
    max_answer_tokens: int
    num_labels: int
    end_ids: frozenset[int]


@dataclass(frozen=True)
class _Running:
    wish: Wish
    sequence: Sequence
    recorder: LabelRecorder
    handle: WorkHandle


class TextWriter:
    """Fills a corpus."""

    def __init__(
        self, engine: Engine, framing: Framing, wishes: Wishes, corpus: Corpus, plan: WritingPlan
    ) -> None:
        self._engine = engine
        self._framing = framing
        self._wishes = wishes
        self._corpus = corpus
        self._plan = plan
        self._documents: list[Document] = []
        self._done: queue.SimpleQueue[_Running] = queue.SimpleQueue()

    def write(self, is_enough: Callable[[], bool], note_written: Callable[[int], None]) -> None:
        """Write until it is enough, or until there is nothing more to write; `note_written` hears of tokens.

        What is unfinished then is given up. Raises what the engine fails with.
        """
        running: dict[int, _Running] = {}
        try:
            while not is_enough():
                while len(running) < self._plan.num_sessions and (wish := self._wishes.next()) is not None:
                    one = self._start(wish)
                    running[id(one.sequence)] = one
                if not running:
                    return
                one = self._done.get()
                del running[id(one.sequence)]
                note_written(self._take(one))
        finally:
            for one in running.values():
                self._engine.close_sequence(one.sequence)
            self._flush()

    def _start(self, wish: Wish) -> _Running:
        plan = self._plan
        is_question = wish.question is None
        parameters = SamplingParameters(
            wish.temperature, wish.seed, top_p=_QUESTION_TOP_P if is_question else 1.0
        )
        recorder = LabelRecorder(selector_for(parameters), plan.num_labels)
        sequence = self._engine.open_sequence()
        max_tokens = plan.max_question_tokens if is_question else plan.max_answer_tokens
        work = Work(
            sequence,
            0,
            np.array(wish.prompt_ids, np.int64),
            num_selected=1,
            num_drawn=max_tokens - 1,
            stop_ids=plan.end_ids,
            selector=recorder,
        )
        one = _Running(wish, sequence, recorder, self._engine.submit(work))
        one.handle.future.add_done_callback(lambda _: self._done.put(one))
        return one

    def _take(self, one: _Running) -> int:
        """Keep what was written, and have a question answered; return how many tokens are kept."""
        self._engine.close_sequence(one.sequence)
        written_ids = _written(one.handle.future)
        question = one.wish.question
        if question is None:
            question = self._framing.question_text(one.wish.first_words, written_ids)
            if question is not None:
                self._wishes.answer(question)
        if question is None or not written_ids:
            return 0
        self._keep(one, question, written_ids)
        return len(written_ids)

    def _keep(self, one: _Running, question: str, written_ids: list[int]) -> None:
        wish, labels = one.wish, one.recorder.labels
        self._documents.append(
            Document(
                token_ids=np.array([*wish.prompt_ids, *written_ids], np.int64),
                num_prompt_tokens=len(wish.prompt_ids),
                label_ids=np.stack([label.token_ids for label in labels]),
                label_logprobs=np.stack([label.logprobs for label in labels]),
                temperature=wish.temperature,
                is_question=wish.question is None,
                prompt_key=prompt_key(question),
            )
        )
        if sum(document.num_written for document in self._documents) >= SHARD_TOKENS:
            self._flush()

    def _flush(self) -> None:
        if self._documents:
            self._corpus.append(self._documents)
            self._documents = []


def _written(future: "Future[WorkResult]") -> list[int]:
    """Return what a work wrote; nothing where its prompt does not fit into the model's context."""
    try:
        result = future.result()
    except (ContextTooLongError, WorkTooLargeError):
        return []
    return np.concatenate([result.selected_ids, result.drawn_ids]).tolist()
