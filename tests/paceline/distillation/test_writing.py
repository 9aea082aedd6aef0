"""A target writes."""

from pathlib import Path

import numpy as np
import pytest

from paceline.distillation.corpus import Corpus
from paceline.distillation.document import Document
from paceline.engine.engine import Engine, EngineConfig
from tests.paceline.distillation.small_target import VOCABULARY_SIZE, write_target
from tests.paceline.distillation.small_text import write
from tests.paceline.engine.capture import logits_of


def all_documents(corpus: Corpus) -> list[Document]:
    return [*corpus.training_documents(corpus.num_shards), *corpus.held_out_documents()]


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_target(tmp_path_factory.mktemp("target"))


def test_every_label_is_what_the_target_thinks_there(target: Path, tmp_path: Path) -> None:
    corpus = Corpus(tmp_path, VOCABULARY_SIZE)
    write(target, corpus, 20)
    documents = all_documents(corpus)
    assert {one.temperature for one in documents} == {0.0, 1.0}
    with Engine.load(EngineConfig(target, 4 << 20, num_threads=2)) as engine:
        for document in documents:
            logits = logits_of(
                engine, engine.open_sequence(), 0, document.token_ids[:-1].tolist(), document.num_written
            )
            logprobs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
            own = np.take_along_axis(logprobs, document.label_ids.astype(np.int64), axis=1)
            np.testing.assert_allclose(document.label_logprobs, own, atol=0.02)
            if document.temperature == 0:
                written = document.token_ids[document.num_prompt_tokens :]
                assert np.array_equal(written, document.label_ids[:, 0])


def test_a_second_run_adds_other_texts(target: Path, tmp_path: Path) -> None:
    write(target, Corpus(tmp_path, VOCABULARY_SIZE), 12)
    write(target, Corpus(tmp_path, VOCABULARY_SIZE), 12)
    corpus = Corpus(tmp_path, VOCABULARY_SIZE)
    assert corpus.num_shards == 2
    sampled = [one.token_ids.tobytes() for one in all_documents(corpus) if one.temperature]
    assert len(set(sampled)) == len(sampled)


def test_a_target_without_a_chat_template_asks_and_answers_itself(tmp_path: Path) -> None:
    target = write_target(tmp_path, chat_template=None)
    corpus = Corpus(tmp_path / "text", VOCABULARY_SIZE)
    write(target, corpus, 40, prompts=(), writes_questions=True)
    documents = all_documents(corpus)
    questions = {one.prompt_key for one in documents if one.is_question}
    answers = {one.prompt_key for one in documents if not one.is_question}
    assert answers
    assert answers <= questions


def test_a_prompt_that_does_not_fit_is_left_out(target: Path, tmp_path: Path) -> None:
    corpus = Corpus(tmp_path, VOCABULARY_SIZE)
    write(target, corpus, 6, prompts=("x" * 600, "Why?"), temperatures=(0.0,))
    assert [one.token_ids[6] for one in all_documents(corpus)] == [ord("W")]
