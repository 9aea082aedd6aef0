"""transformers as the reference. Everything heavy is imported where it is needed: these tests may be skipped."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from paceline.engine.graph.architecture import Architecture
from paceline.engine.graph.weights import FloatArray
from paceline.engine.work import Logits

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedConfig, PreTrainedModel

NAMES = {
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
OUTER_NAMES = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}


def reference_model(architecture: Architecture, weights: Mapping[str, FloatArray]) -> "PreTrainedModel":
    """transformers' model of the same shape with these weights, in f32."""
    import torch  # noqa: PLC0415

    state = {_name(name): torch.from_numpy(np.array(values)) for name, values in weights.items()}
    return _model(_config(architecture, weights), state)


def gguf_reference_model(path: Path) -> "PreTrainedModel":
    """transformers' own reading of a GGUF file, its matrices rounded to f16 as ours are, computing in f32."""
    import torch  # noqa: PLC0415
    from transformers import AutoConfig, AutoModelForCausalLM  # noqa: PLC0415
    from transformers.modeling_gguf_pytorch_utils import load_gguf_checkpoint  # noqa: PLC0415

    config = AutoConfig.from_pretrained(path.parent, gguf_file=path.name)
    with torch.device("meta"):
        names = AutoModelForCausalLM.from_config(config)
    # What `from_pretrained(gguf_file=...)` calls, which asks for the package accelerate besides.
    tensors = load_gguf_checkpoint(str(path), return_tensors=True, model_to_load=names)["tensors"]
    state = {name: one.half().float() if one.ndim > 1 else one for name, one in tensors.items()}
    return _model(config, state)


def reference_logits(model: "PreTrainedModel", ids: list[int]) -> Logits:
    """Logits of every position, [num_ids, vocab_size]."""
    import torch  # noqa: PLC0415

    with torch.inference_mode():
        return model(torch.tensor([ids])).logits[0].numpy()


def _model(config: "PreTrainedConfig", state: Mapping[str, "Tensor"]) -> "PreTrainedModel":
    """A model in f32 all of whose weights are in `state`."""
    import torch  # noqa: PLC0415
    from transformers import LlamaForCausalLM, Qwen2ForCausalLM  # noqa: PLC0415

    families: dict[str, Any] = {"llama": LlamaForCausalLM, "qwen2": Qwen2ForCausalLM}
    model, report = families[config.model_type].from_pretrained(
        None, config=config, state_dict=state, dtype=torch.float32, output_loading_info=True
    )
    assert not any(report.values()), report
    return model.eval()


def _config(shape: Architecture, weights: Mapping[str, FloatArray]) -> "PreTrainedConfig":
    from transformers import LlamaConfig, Qwen2Config  # noqa: PLC0415

    families: dict[str, Any] = {"llama": LlamaConfig, "qwen2": Qwen2Config}
    return families[shape.family](
        vocab_size=shape.vocabulary_size,
        hidden_size=shape.hidden_size,
        intermediate_size=len(weights["blk.0.ffn_gate"]),
        num_hidden_layers=shape.num_layers,
        num_attention_heads=shape.num_heads,
        num_key_value_heads=shape.num_kv_heads,
        head_dim=shape.head_size,
        max_position_embeddings=shape.max_context_tokens,
        rms_norm_eps=shape.norm_epsilon,
        rope_parameters={"rope_type": "default", "rope_theta": shape.rope_theta},
        tie_word_embeddings=shape.has_tied_head,
    )


def _name(name: str) -> str:
    """transformers' name of a tensor of ours."""
    if name in OUTER_NAMES:
        return f"{OUTER_NAMES[name]}.weight"
    _, layer, part = name.split(".", 2)
    part, _, kind = part.partition(".")
    return f"model.layers.{layer}.{NAMES[part]}.{kind or 'weight'}"
