"""Shapes that the builder cannot build are refused when they are read."""

from dataclasses import asdict

import pytest

from paceline.engine.errors import UnsupportedModelError
from paceline.engine.graph.architecture import Architecture
from tests.paceline.engine.tiny_models import LLAMA, QWEN2


@pytest.mark.parametrize("architecture", [LLAMA, QWEN2])
def test_an_architecture_survives_its_manifest(architecture: Architecture) -> None:
    assert Architecture.from_json(architecture.to_json()) == architecture


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"family": "mamba"}, "llama and qwen2 are"),
        ({"num_kv_heads": 3}, "multiple of the KV heads"),
        ({"head_size": 15}, "head size even"),
        ({"num_kv_heads": 0}, "positive"),
        ({"num_layers": 0}, "positive"),
        ({"vocabulary_size": -1}, "positive"),
        ({"max_context_tokens": 0}, "positive"),
        ({"num_heads": "4"}, "malformed"),
        ({"num_experts": 8}, "malformed"),
    ],
)
def test_what_cannot_be_built_is_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(UnsupportedModelError, match=message):
        Architecture.from_json(asdict(LLAMA) | changes)


@pytest.mark.parametrize("name", list(asdict(LLAMA)))
def test_a_missing_field_is_named(name: str) -> None:
    data = asdict(LLAMA)
    del data[name]
    with pytest.raises(UnsupportedModelError, match=name):
        Architecture.from_json(data)
