"""Small random models as Hugging Face directories, one of each family that the engine torch serves.

Imports torch and transformers: test files import it behind `pytest.importorskip`.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

SIZES: dict[str, Any] = {
    "vocab_size": 211,
    "hidden_size": 64,
    "intermediate_size": 160,  # a multiple of 32, so that int4 can hold it, and of nothing wider
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": None,
}
# What makes each family another than Llama, so that it shows where it is left out.
FAMILY_FIELDS: dict[str, dict[str, Any]] = {
    "granite": {
        "embedding_multiplier": 3.0,
        "logits_scaling": 0.5,
        "residual_multiplier": 0.7,
        "attention_multiplier": 0.4,
    },
    "llama": {
        "rope_parameters": {
            "rope_type": "llama3",
            "rope_theta": 500_000.0,
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 64,
        },
    },
    "mistral": {"head_dim": 32, "sliding_window": None},
    "olmo2": {},
    "phi3": {"rope_parameters": {"rope_theta": 10_000.0, "partial_rotary_factor": 0.5}},
    "qwen2": {"tie_word_embeddings": True},
    "qwen3": {"head_dim": 32},
    "smollm3": {"no_rope_layer_interval": 2, "tie_word_embeddings": True},
}


def tiny_hub_model(
    family: str,
    directory: Path,
    *,
    dtype: torch.dtype = torch.float32,
    max_shard_size: str = "1GB",
    **fields: Any,
) -> Path:
    """Write a model of a family as transformers does, and return its directory.

    `fields` replace those of its config; with `max_shard_size`, for example "100KB", it lies in several files.
    """
    config = AutoConfig.for_model(family, **SIZES | FAMILY_FIELDS[family] | fields)
    model = AutoModelForCausalLM.from_config(config)
    _draw_weights(model)
    model.to(dtype).save_pretrained(directory, max_shard_size=max_shard_size)
    return directory


def reference_hub_model(directory: Path) -> PreTrainedModel:
    """transformers' own reading of a directory, with its eager attention, in f32."""
    model = AutoModelForCausalLM.from_pretrained(
        directory, dtype=torch.float32, attn_implementation="eager", local_files_only=True
    )
    return model.eval()


@torch.no_grad()
def _draw_weights(model: PreTrainedModel) -> None:
    """Weights whose logits spread over several units, so that a wrong bias or norm shows."""
    generator = torch.Generator().manual_seed(3)
    for name, parameter in sorted(model.named_parameters()):
        drawn = torch.randn(parameter.shape, generator=generator)
        parameter.copy_(_scaled(name, drawn))


def _scaled(name: str, drawn: Tensor) -> Tensor:
    if drawn.ndim == 1:
        return 0.3 * drawn if name.endswith("bias") else 1 + 0.3 * drawn
    is_table = "embed_tokens" in name or "lm_head" in name
    return (3 if is_table else 1) * drawn / drawn.shape[-1] ** 0.5
