"""Small random models, written as prepared directories in the project's own format."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from paceline.engine.graph.architecture import Architecture
from paceline.engine.graph.manifest import WEIGHTS_FILE, Manifest
from paceline.engine.graph.weights import Array, FloatArray, quantize
from paceline.models.safetensors_file import write_safetensors

INTERMEDIATE_SIZE = 160  # a multiple of 32, so that int4 can hold it, and of nothing wider

LLAMA = Architecture(
    family="llama", num_layers=2, hidden_size=64, num_heads=4, num_kv_heads=2, head_size=16, vocabulary_size=211,
    rope_theta=10_000.0, norm_epsilon=1e-5, max_context_tokens=256, has_tied_head=True,
)  # fmt: skip
QWEN2 = replace(LLAMA, family="qwen2", rope_theta=1_000_000.0, norm_epsilon=1e-6)


def random_weights(architecture: Architecture, seed: int = 0) -> dict[str, FloatArray]:
    """Weights whose logits spread over several units, so that a wrong bias or norm shows."""
    generator = np.random.default_rng(seed)

    def matrix(num_outputs: int, num_inputs: int) -> FloatArray:
        return (generator.standard_normal((num_outputs, num_inputs)) / num_inputs**0.5).astype(np.float32)

    def vector(size: int, mean: float) -> FloatArray:
        return (mean + 0.3 * generator.standard_normal(size)).astype(np.float32)

    shape = architecture
    hidden_size, vocabulary_size = shape.hidden_size, shape.vocabulary_size
    query_size, kv_size = shape.num_heads * shape.head_size, shape.num_kv_heads * shape.head_size
    weights = {"token_embd": 3 * matrix(vocabulary_size, hidden_size), "output_norm": vector(hidden_size, 1)}
    if not shape.has_tied_head:
        weights["output"] = 3 * matrix(vocabulary_size, hidden_size)
    for layer in range(shape.num_layers):
        parts = {
            "attn_norm": vector(hidden_size, 1),
            "attn_q": matrix(query_size, hidden_size),
            "attn_k": matrix(kv_size, hidden_size),
            "attn_v": matrix(kv_size, hidden_size),
            "attn_output": matrix(hidden_size, query_size),
            "ffn_norm": vector(hidden_size, 1),
            "ffn_gate": matrix(INTERMEDIATE_SIZE, hidden_size),
            "ffn_up": matrix(INTERMEDIATE_SIZE, hidden_size),
            "ffn_down": matrix(hidden_size, INTERMEDIATE_SIZE),
        }
        if shape.family == "qwen2":
            parts |= {
                "attn_q.bias": vector(query_size, 0),
                "attn_k.bias": vector(kv_size, 0),
                "attn_v.bias": vector(kv_size, 0),
            }
        weights |= {f"blk.{layer}.{name}": part for name, part in parts.items()}
    return weights


def stored_weights(weights: Mapping[str, FloatArray], weights_format: str) -> dict[str, Array]:
    """Quantise as `paceline.models.prepare` does: embedding and head stay int8 in int4."""
    stored: dict[str, Array] = {}
    for name, values in weights.items():
        kept_wider = weights_format == "int4" and name in {"token_embd", "output"}
        if values.ndim == 1:
            stored[name] = values
        else:
            stored |= quantize(name, values, "int8" if kept_wider else weights_format)
    return stored


def write_prepared(
    directory: Path, architecture: Architecture, stored: Mapping[str, Array], weights_format: str
) -> Path:
    """Write a prepared directory that `Engine.load` takes."""
    write_safetensors(directory / WEIGHTS_FILE, stored)
    Manifest("tiny", weights_format, "built", architecture, "tests").write(directory)
    return directory


def dequantized(stored: Mapping[str, Array]) -> dict[str, FloatArray]:
    """What stored weights mean, in f32."""
    weights: dict[str, FloatArray] = {}
    for name, values in stored.items():
        layer, _, part = name.rpartition(".")
        if part == "q":
            weights[layer] = _expanded(stored, layer)
        elif part not in {"scale", "zero"}:
            weights[name] = values.astype(np.float32)
    return weights


def _expanded(stored: Mapping[str, Array], layer: str) -> FloatArray:
    quantized, scale = stored[f"{layer}.q"], stored[f"{layer}.scale"].astype(np.float32)
    if f"{layer}.zero" not in stored:
        return quantized.astype(np.float32) * scale
    num_outputs, num_groups, half_group = quantized.shape
    values = _unpacked(quantized).reshape(num_outputs, num_groups, 2 * half_group)
    zero = _unpacked(stored[f"{layer}.zero"])[: num_outputs * num_groups].reshape(scale.shape)
    return ((values - zero) * scale).reshape(num_outputs, -1)


def _unpacked(packed: Array) -> FloatArray:
    """Two values a byte, the first in the lower half."""
    flat = packed.reshape(-1).astype(np.uint8)
    return np.stack([flat & np.uint8(15), flat >> np.uint8(4)], axis=1).reshape(-1).astype(np.float32)
