"""Linear layers in fewer bits, quantised by torchao while transformers loads them.

The embedding and the head stay in the precision of the computation: the head decides between close logits.
"""

from importlib import import_module
from importlib.util import find_spec
from math import gcd
from pathlib import Path
from typing import Any

import torch
from transformers import TorchAoConfig
from transformers.quantizers.auto import AutoHfQuantizer

from paceline.engine.errors import UnsupportedModelError
from paceline.engine.graph.weights import INT4_GROUP_SIZES, int4_group_size
from paceline.engine.pytorch.library_errors import explained
from paceline.engine.pytorch.placement import has_accelerate
from paceline.errors import ConfigError

# Kept in the precision of the computation, whichever of the two is asked for.
KEPT_FORMATS = ("f32", "f16")
QUANTISED_FORMATS = ("int8", "int4", "fp8")
_FORMAT_NAMES = {torch.float32: "f32", torch.bfloat16: "bf16", torch.float16: "f16"}


def require_known_format(weights: str) -> None:
    """Refuse weights in a format that there is not; raises ConfigError."""
    known = (*KEPT_FORMATS, *QUANTISED_FORMATS)
    if weights not in known:
        raise ConfigError(f"Weights {weights!r} are not one of {', '.join(known)}.", setting="weights")


def own_quantisation(config: Any) -> str | None:
    """Return the format that a directory's weights already have, by transformers' name; None where they are plain.

    Example: "fp8", "awq", "compressed-tensors".
    """
    quantisation = getattr(config, "quantization_config", None)
    if quantisation is None:
        return None
    fields: dict[str, Any] = quantisation if isinstance(quantisation, dict) else vars(quantisation)
    method = fields.get("quant_method", "unknown")
    return str(getattr(method, "value", method))


def require_readable_quantisation(config: Any, directory: Path) -> None:
    """Refuse weights of a format that transformers does not know and would take for plain ones."""
    method = own_quantisation(config)
    if method is None:
        return
    with explained(directory):
        is_readable = AutoHfQuantizer.supports_quant_method(config.quantization_config)
    if not is_readable:
        message = (
            f"{directory} is quantised by {method!r}, which transformers does not read. Serve other weights."
        )
        raise UnsupportedModelError(message, path=str(directory))


def held_format(model: Any) -> str:
    """Return the format of weights that nobody quantised: the precision that they are in."""
    return _FORMAT_NAMES.get(model.dtype, str(model.dtype))


def quantisation_arguments(
    weights: str, config: Any, device: torch.device, directory: Path
) -> dict[str, Any]:
    """Return what `from_pretrained` is given besides, so that linear layers are held in `weights`.

    Raises UnsupportedModelError where packages are missing, or int4 cannot hold this model.
    """
    if weights in KEPT_FORMATS:
        return {}
    missing = [] if find_spec("torchao") is not None else ["torchao"]
    if device.type != "cpu" and not has_accelerate():
        missing.append("accelerate")  # layers are packed for the device that quantises them
    if missing:
        message = (
            f"Weights in {weights} need {' and '.join(missing)}, not installed here: "
            'pip install "paceline[accelerator]", or give --weights f16.'
        )
        raise UnsupportedModelError(message, path=str(directory), weights=weights)
    with explained(directory):
        return {"quantization_config": TorchAoConfig(_quant_type(weights, config, device, directory))}


def _quant_type(weights: str, config: Any, device: torch.device, directory: Path) -> Any:
    """The configuration of torchao; activations stay as they are.

    `set_inductor_config` would change settings of the whole process, among them how f32 is multiplied.
    """
    torchao = import_module("torchao.quantization")
    if weights == "int8":
        return torchao.Int8WeightOnlyConfig(set_inductor_config=False)
    if weights == "fp8":
        return torchao.Float8WeightOnlyConfig(set_inductor_config=False)
    group_size = _group_size(config, directory)
    if device.type == "cuda":
        # The layout whose kernel comes with PyTorch; the default one needs another package.
        return torchao.Int4WeightOnlyConfig(
            group_size=group_size, int4_packing_format="tile_packed_to_4d", set_inductor_config=False
        )
    # A prototype's name changes: the extra holds torchao to one release.
    on_cpu = import_module("torchao.prototype.quantization.int4")
    return on_cpu.PrototypeInt4WeightOnlyConfig(group_size=group_size, set_inductor_config=False)


def _group_size(config: Any, directory: Path) -> int:
    """The widest group that divides the inputs of all layers: torchao leaves the others unquantised, unsaid."""
    num_heads = config.num_attention_heads
    attended = num_heads * (getattr(config, "head_dim", None) or config.hidden_size // num_heads)
    size = int4_group_size(gcd(config.hidden_size, config.intermediate_size, attended))
    if size is None:
        message = (
            f"{directory} cannot be held in int4: its layers have {config.hidden_size}, {config.intermediate_size} and "
            f"{attended} inputs, which groups of {' or '.join(map(str, INT4_GROUP_SIZES))} do not all divide. "
            "Give --weights int8."
        )
        raise UnsupportedModelError(message, path=str(directory), weights="int4")
    return size
