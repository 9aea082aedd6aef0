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
        self._engine = Engine.load(EngineConfig(model, kv_cache_bytes=8 << 20, num_threads=1))
        self._logits: dict[tuple[int, ...], Logits] = {}

    def close(self) -> None:
        self._engine.close()

    def logits(self, context: Sequence[int]) -> Logits:
        """The logits [vocab_size] of the id after `context`."""
        key = tuple(context)
        if key not in self._logits:
            sequence = self._engine.open_sequence()

            def keep(logits: Logits, positions: TokenIds, token_ids: Sequence[int]) -> TokenIds:
                self._logits[key] = logits[0].copy()
                return np.zeros(1, np.int64)

            work = Work(sequence, 0, np.array(key, np.int64), num_selected=1, selector=keep)
            self._engine.submit(work).future.result()
            self._engine.close_sequence(sequence)
        return self._logits[key]
