"""What a pass reads of a model, by its files."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from paceline.models.safetensors_file import write_safetensors

pytest.importorskip("safetensors", reason="safetensors is not installed (`make setup` installs it)")
from benchmarks.passes.stored_model import kv_numbers_per_token, weight_bytes_read

CONFIG = {
    "hidden_size": 8,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "num_hidden_layers": 3,
}
EMBEDDING, LAYER, NORM = 10 * 8, 8 * 8, 8


def store(directory: Path, has_head: bool, **config: Any) -> Path:
    (directory / "config.json").write_text(json.dumps(CONFIG | config))
    head = {"lm_head.weight": np.zeros((10, 8), np.float32)} if has_head else {}
    write_safetensors(
        directory / "model-00001-of-00002.safetensors",
        {"model.embed_tokens.weight": np.zeros((10, 8), np.float32), **head},
    )
    layers = {
        "model.layers.0.mlp.up_proj.weight": np.zeros((8, 8), np.float32),
        "model.layers.0.input_layernorm.weight": np.zeros(8, np.float32),
    }
    write_safetensors(directory / "model-00002-of-00002.safetensors", layers)
    return directory


def test_an_embedding_is_read_whole_only_where_it_is_the_head_too(tmp_path: Path) -> None:
    (untied := tmp_path / "untied").mkdir()
    (tied := tmp_path / "tied").mkdir()
    expected = 2 * (EMBEDDING + LAYER + NORM)
    assert weight_bytes_read(store(untied, has_head=True), "f16", 2) == expected
    assert weight_bytes_read(store(tied, has_head=False, tie_word_embeddings=True), "f16", 2) == expected


def test_a_head_that_is_stored_though_it_is_tied_counts_once(tmp_path: Path) -> None:
    directory = store(tmp_path, has_head=True, tie_word_embeddings=True)
    assert weight_bytes_read(directory, "f16", 4) == 4 * (EMBEDDING + LAYER + NORM)


@pytest.mark.parametrize(("weights", "layer_bytes"), [("int8", LAYER), ("fp8", LAYER), ("int4", LAYER // 2)])
def test_quantised_are_the_matrices_of_the_layers_alone(
    tmp_path: Path, weights: str, layer_bytes: int
) -> None:
    directory = store(tmp_path, has_head=True)
    assert weight_bytes_read(directory, weights, 2) == 2 * (EMBEDDING + NORM) + layer_bytes


def test_keys_and_values_are_those_of_the_kv_heads(tmp_path: Path) -> None:
    assert kv_numbers_per_token(store(tmp_path, has_head=True)) == 2 * 3 * 2 * (8 // 4)
    assert kv_numbers_per_token(store(tmp_path, has_head=True, head_dim=16)) == 2 * 3 * 2 * 16
    assert kv_numbers_per_token(store(tmp_path, has_head=True, num_key_value_heads=None)) == 2 * 3 * 4 * 2
