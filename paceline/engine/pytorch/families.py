"""Which models of transformers our paged attention computes.

A family is listed where transformers' own code of it

* calls the AttentionInterface once a layer, with queries, keys and values of one head size, and means causal attention
  to all earlier tokens: no window, sinks, soft caps, biases, compressed keys and values (MLA) or recurrence;
* computes a row from its own id, its position and what its sequence has in the cache, so that its bits cannot depend
  on the other rows. In mixtures of experts the rows of one expert are computed together, as many as there happen to be;
* takes `logits_to_keep` as rows;
* is compared with its eager attention by our tests.

A new family needs a line here, and one in `tests/paceline/engine/pytorch/tiny_hub_models.py`.
"""

from pathlib import Path
from typing import Any

from paceline.engine.errors import UnsupportedModelError

SUPPORTED_FAMILIES = (
    "granite",
    "llama",
    "mistral",
    "olmo2",
    "phi3",
    "qwen2",
    "qwen3",
    "smollm3",
)

# Fields of a config that say what we do not compute, for models with code of their own: no listed family has them.
_REFUSED_FIELDS = {
    "is_encoder_decoder": "an encoder besides its decoder",
    "add_cross_attention": "attention to another model's states",
    "use_bidirectional_attention": "attention to later tokens",
    "attn_logit_softcapping": "soft-capped attention",
    "kv_lora_rank": "compressed keys and values",
}


def require_family(family: str, directory: Path) -> None:
    """Refuse a model of another family than the listed ones; raises UnsupportedModelError."""
    if family not in SUPPORTED_FAMILIES:
        message = (
            f"{directory} is of the family {family!r}, whose attention the engine torch does not compute; it serves "
            f"{', '.join(SUPPORTED_FAMILIES)}. Serve one of those, or try --engine openvino, for which "
            "`paceline models prepare` exports more."
        )
        raise UnsupportedModelError(message, path=str(directory), family=family)


def require_full_attention(config: Any, directory: Path) -> None:
    """Refuse a config of transformers whose layers do more than attend to all earlier tokens.

    A window that no token can look beyond is none, and is taken out of the config. Raises UnsupportedModelError.
    """
    for field, meaning in _REFUSED_FIELDS.items():
        if getattr(config, field, None):
            raise _refusal(directory, meaning, field)
    if layer_types := getattr(config, "layer_types", None):
        # Where layers are told apart, `sliding_window` is that of the sliding ones alone.
        others = sorted(set(layer_types) - {"full_attention"})
        if others:
            raise _refusal(directory, f"layers of {' and '.join(others)}", "layer_types")
    elif (window := getattr(config, "sliding_window", None)) is not None:
        if window < config.max_position_embeddings:
            raise _refusal(directory, f"a sliding window of {window} tokens", "sliding_window")
        config.sliding_window = None


def _refusal(directory: Path, meaning: str, field: str) -> UnsupportedModelError:
    message = (
        f"{directory} has {meaning} ({field} in its config.json), which the engine torch does not compute. "
        "Serve another model, or try --engine openvino, for which `paceline models prepare` exports it."
    )
    return UnsupportedModelError(message, path=str(directory), field=field)
