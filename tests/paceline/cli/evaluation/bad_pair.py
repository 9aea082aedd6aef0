"""A small random target, and a draft of random weights that is as slow as the target and never right."""

from dataclasses import replace
from pathlib import Path

from paceline.engine.graph.architecture import Architecture
from tests.end_to_end.tiny_cluster import SHAPE
from tests.orchestrator.byte_tokenizer import byte_tokenizer
from tests.paceline.engine.tiny_models import random_weights, stored_weights, write_prepared

_SHAPE: Architecture = replace(SHAPE, num_layers=2, max_context_tokens=512)


def write_bad_pair(directory: Path) -> tuple[Path, Path]:
    """Write both as prepared directories, named "target" and "random"."""
    return _write(directory / "target", seed=1), _write(directory / "random", seed=3)


def _write(directory: Path, seed: int) -> Path:
    byte_tokenizer().save(directory)
    return write_prepared(directory, _SHAPE, stored_weights(random_weights(_SHAPE, seed), "f32"), "f32")
