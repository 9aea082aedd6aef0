"""Prepared directories as transformers takes them: a config, and tensors by the names that Llama and Qwen2 have."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

from paceline.engine.errors import UnsupportedModelError
from paceline.engine.graph.architecture import Architecture
from paceline.engine.graph.manifest import WEIGHTS_FILE, Manifest
from paceline.engine.graph.weights import FAST_HEAD, Array, open_weights
from paceline.engine.pytorch.library_errors import explained

# Every family of `paceline.engine.graph.architecture.SUPPORTED_FAMILIES`.
_MODEL_CLASSES: dict[str, Any] = {"llama": LlamaForCausalLM, "qwen2": Qwen2ForCausalLM}
_CONFIG_CLASSES: dict[str, Any] = {"llama": LlamaConfig, "qwen2": Qwen2Config}
_OUTER_NAMES = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
_LAYER_NAMES = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


@dataclass(frozen=True)
class PreparedModel:
    """What transformers builds a model from.

    Attributes:
        model_class: The class of its family.
        config: Of that class.
        weights: By the names that the class has for them.
    """

    model_class: Any
    config: Any
    weights: Mapping[str, Tensor]


def read_prepared_config(directory: Path, manifest: Manifest) -> Any:
    """Read the config of a prepared directory, without its weights; raises UnsupportedModelError."""
    _require_built(directory, manifest)
    stored = open_weights(directory / WEIGHTS_FILE)
    with explained(directory), _fitting(directory):
        return _config(manifest.architecture, stored)


def read_prepared(directory: Path, manifest: Manifest, dtype: torch.dtype) -> PreparedModel:
    """Read a prepared directory, its weights expanded and in `dtype`.

    Those that are stored in `dtype` stay in the mapped file. int8 and int4 are expanded in f32, which holds products of
    quantised values and scales exactly, and then rounded once. Raises UnsupportedModelError.
    """
    _require_built(directory, manifest)
    stored = open_weights(directory / WEIGHTS_FILE)
    family = manifest.architecture.family
    with explained(directory), _fitting(directory):
        config = _config(manifest.architecture, stored)
        return PreparedModel(_MODEL_CLASSES[family], config, _torch_weights(stored, dtype))


def _require_built(directory: Path, manifest: Manifest) -> None:
    if manifest.graph == "exported":
        message = (
            f"{directory} holds a graph that was exported for OpenVINO. Serve it with --engine openvino, or give the "
            f"Hugging Face directory or hub id that it was made from ({manifest.source})."
        )
        raise UnsupportedModelError(message, path=str(directory))


@contextmanager
def _fitting(directory: Path) -> Iterator[None]:
    try:
        yield
    except (KeyError, ValueError, RuntimeError) as error:
        message = (
            f"The weights in {directory} do not fit its architecture ({error}). Prepare the model again."
        )
        raise UnsupportedModelError(message, path=str(directory)) from error


def _config(shape: Architecture, stored: Mapping[str, Array]) -> Any:
    """Raises KeyError where the first layer's weights are missing."""
    gate = "blk.0.ffn_gate"
    return _CONFIG_CLASSES[shape.family](
        vocab_size=shape.vocabulary_size,
        hidden_size=shape.hidden_size,
        intermediate_size=len(stored[gate] if gate in stored else stored[f"{gate}.q"]),
        num_hidden_layers=shape.num_layers,
        num_attention_heads=shape.num_heads,
        num_key_value_heads=shape.num_kv_heads,
        head_dim=shape.head_size,
        max_position_embeddings=shape.max_context_tokens,
        rms_norm_eps=shape.norm_epsilon,
        rope_parameters={"rope_type": "default", "rope_theta": shape.rope_theta},
        tie_word_embeddings=shape.has_tied_head,
    )


def _torch_weights(stored: Mapping[str, Array], dtype: torch.dtype) -> dict[str, Tensor]:
    """Raises KeyError where tensors are missing or of no known name, ValueError or RuntimeError where shapes differ."""
    return {_name(layer): _expanded(stored, layer).to(dtype) for layer in _layers(stored)}


def _layers(stored: Mapping[str, Array]) -> Iterator[str]:
    """The name of each weight once, however it is stored; the fast head is a draft's."""
    for name in stored:
        layer, _, part = name.rpartition(".")
        if name.startswith(FAST_HEAD) or part in {"scale", "zero"}:
            continue
        yield layer if part == "q" else name


def _expanded(stored: Mapping[str, Array], layer: str) -> Tensor:
    if layer in stored:
        return _tensor(stored[layer])
    quantized, scale = stored[f"{layer}.q"], _tensor(stored[f"{layer}.scale"]).float()
    if f"{layer}.zero" not in stored:
        return _tensor(quantized).float() * scale
    num_outputs, num_groups, half_group = quantized.shape
    values = _unpacked(quantized).reshape(num_outputs, num_groups, 2 * half_group)
    zeros = _unpacked(stored[f"{layer}.zero"])[: num_outputs * num_groups].reshape(num_outputs, num_groups, 1)
    return ((values - zeros) * scale).reshape(num_outputs, -1)


def _unpacked(packed: Array) -> Tensor:
    """Two values a byte, the first in the lower half."""
    flat = _tensor(packed).reshape(-1)
    return torch.stack([flat & 15, flat >> 4], dim=1).reshape(-1).float()


def _tensor(array: Array) -> Tensor:
    """The same memory, unless numbers of several bytes lie across their boundaries in the file."""
    return torch.from_numpy(np.require(array, requirements="A"))


def _name(name: str) -> str:
    """The name that transformers has for a weight.

    Example: `blk.3.attn_q.bias` is `model.layers.3.self_attn.q_proj.bias`.
    """
    if name in _OUTER_NAMES:
        return f"{_OUTER_NAMES[name]}.weight"
    if name.count(".") < 2:
        raise KeyError(name)
    _, layer, part = name.split(".", 2)
    part, _, kind = part.partition(".")
    return f"model.layers.{layer}.{_LAYER_NAMES[part]}.{kind or 'weight'}"
