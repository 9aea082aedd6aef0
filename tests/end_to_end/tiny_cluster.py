"""Clusters of small random models, whose distributions can be computed exactly."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from paceline.engine.engine import Engine, EngineConfig
from paceline.engine.graph.architecture import Architecture
from paceline.engine.graph.weights import FloatArray
from paceline.engine.work import Logits, TokenIds, Work
from tests.orchestrator.byte_tokenizer import VOCABULARY_SIZE, byte_tokenizer
from tests.paceline.engine.tiny_models import LLAMA, random_weights, stored_weights, write_prepared

NUM_CONTEXTS_AT_ONCE = 64

SHAPE: Architecture = replace(
    LLAMA, num_layers=1, hidden_size=32, num_heads=2, num_kv_heads=1, vocabulary_size=VOCABULARY_SIZE,
    max_context_tokens=64, has_tied_head=False,
)  # fmt: skip


def write_models(directory: Path) -> dict[str, Path]:
    """Write a target and three drafts for it: a good one, one of random weights, and one that is always wrong."""
    target = random_weights(SHAPE, seed=1)
    target["output"] *= 0.7
    noise = (0.1 * random_weights(SHAPE, seed=2)["output"]).astype(np.float32)
    models: dict[str, dict[str, FloatArray]] = {
        "target": target,
        "good": target | {"output": target["output"] + noise},
        "random": random_weights(SHAPE, seed=3),
        # The target's least likely token is by far its most likely one.
        "adversarial": target | {"output": (-30 * target["output"]).astype(np.float32)},
    }
    return {name: write_model(directory / name, weights) for name, weights in models.items()}


def write_model(directory: Path, weights: dict[str, FloatArray]) -> Path:
    byte_tokenizer().save(directory)
    return write_prepared(directory, SHAPE, stored_weights(weights, "f32"), "f32")


class Contexts:
    """The target's logits after any context, from an engine in this process."""

    def __init__(self, model: Path) -> None:
        self._engine = Engine.load(
            EngineConfig(model, kv_cache_bytes=8 << 20, num_threads=1, max_rows_per_step=1024)
        )

    def close(self) -> None:
        self._engine.close()

    def logits(self, context: Sequence[int]) -> FloatArray:
        """The logits [vocab_size] of the id after `context`."""
        return self.logits_of([context])[0]

    def logits_of(self, contexts: Sequence[Sequence[int]]) -> Logits:
        """The logits of the id after each context [num_contexts, vocab_size], many in one pass."""
        logits = np.empty((len(contexts), VOCABULARY_SIZE), np.float32)
        for start in range(0, len(contexts), NUM_CONTEXTS_AT_ONCE):
            batch = range(start, min(start + NUM_CONTEXTS_AT_ONCE, len(contexts)))
            works = [_work(self._engine, contexts[place], logits[place]) for place in batch]
            for handle in [self._engine.submit(work) for work in works]:
                handle.future.result()
            for work in works:
                self._engine.close_sequence(work.sequence)
        return logits


def _work(engine: Engine, context: Sequence[int], row: FloatArray) -> Work:
    """A work that writes the logits behind a context to a row [vocab_size]."""

    def keep(logits: Logits, _positions: TokenIds, _known_ids: Sequence[int]) -> TokenIds:
        row[:] = logits[0]
        return np.zeros(1, np.int64)

    return Work(engine.open_sequence(), 0, np.array(context, np.int64), num_selected=1, selector=keep)
