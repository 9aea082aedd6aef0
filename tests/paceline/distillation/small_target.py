"""A target of single bytes with random weights, and documents as it might have written them."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from paceline.distillation.document import Document
from paceline.distillation.shape import StudentShape, student_shape
from tests.end_to_end.tiny_cluster import SHAPE
from tests.orchestrator.byte_tokenizer import CHAT_TEMPLATE, byte_tokenizer
from tests.paceline.engine.tiny_models import random_weights, stored_weights, write_prepared

TARGET = replace(SHAPE, max_context_tokens=512)
VOCABULARY_SIZE = TARGET.vocabulary_size
NUM_LABELS = 4


def write_target(directory: Path, chat_template: str | None = CHAT_TEMPLATE) -> Path:
    byte_tokenizer(chat_template).save(directory)
    return write_prepared(directory, TARGET, stored_weights(random_weights(TARGET, seed=1), "f32"), "f32")


def small_shape() -> StudentShape:
    return student_shape(TARGET, 32, 2)


def documents(lengths: Sequence[int], seed: int = 0) -> list[Document]:
    """Documents of so many ids, each with a first half that is a prompt; every id of one is its number."""
    generator = np.random.default_rng(seed)
    return [_document(number, length, generator) for number, length in enumerate(lengths, start=1)]


def _document(number: int, length: int, generator: np.random.Generator) -> Document:
    num_prompt_tokens = max(1, length // 2)
    num_written = length - num_prompt_tokens
    label_ids = np.stack(
        [generator.permutation(VOCABULARY_SIZE)[:NUM_LABELS] for _ in range(num_written)]
    ).reshape(num_written, NUM_LABELS)
    probs = generator.dirichlet(np.ones(NUM_LABELS + 1), num_written)[:, :NUM_LABELS]
    return Document(
        token_ids=np.full(length, number),
        num_prompt_tokens=num_prompt_tokens,
        label_ids=label_ids,
        label_logprobs=np.log(-np.sort(-probs)).astype(np.float16),
        temperature=float(number % 2),
        is_question=False,
        prompt_key=number,
    )
