"""What a pass reads of a model in a Hugging Face directory, by its files alone."""

import json
from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import Any

from safetensors import safe_open

# Of the layers' matrices where they are quantised; scales, a hundredth or a few, are left out.
_BITS = {"int8": 8, "fp8": 8, "int4": 4}
_EMBEDDING, _HEAD, _LAYERS = "embed_tokens.weight", "lm_head.weight", ".layers."


def weight_bytes_read(directory: Path, weights: str, bytes_per_number: int) -> int:
    """Return the bytes of all weights but those of an embedding that is only looked up.

    `weights` is the format of the layers' matrices as --weights has it; all else takes `bytes_per_number`.
    """
    is_tied = read_config(directory).get("tie_word_embeddings", False)
    unread = _HEAD if is_tied else _EMBEDDING
    num_bits = 0
    for name, shape in _stored_shapes(directory):
        if name.endswith(unread):
            continue
        is_quantised = weights in _BITS and _LAYERS in name and len(shape) == 2
        num_bits += prod(shape) * (_BITS[weights] if is_quantised else 8 * bytes_per_number)
    return num_bits // 8


def kv_numbers_per_token(directory: Path) -> int:
    """Return how many numbers a model keeps of one token as keys and values, all layers."""
    config = read_config(directory)
    num_heads = config["num_attention_heads"]
    head_size = config.get("head_dim") or config["hidden_size"] // num_heads
    return 2 * config["num_hidden_layers"] * (config.get("num_key_value_heads") or num_heads) * head_size


def read_config(directory: Path) -> dict[str, Any]:
    """Return what a Hugging Face directory says of its model."""
    return json.loads((directory / "config.json").read_text(encoding="utf-8"))


def _stored_shapes(directory: Path) -> Iterator[tuple[str, list[int]]]:
    for path in sorted(directory.glob("*.safetensors")):
        with safe_open(path, framework="np") as file:
            for name in file.keys():  # noqa: SIM118 - it is no mapping
                yield name, file.get_slice(name).get_shape()
