"""Where a model's weights go: onto one device, or in slices onto several, a process each."""

import os
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import torch

from paceline.engine.pytorch.shape import ModelShape
from paceline.errors import ConfigError

# torchrun tells each process so how many they are.
WORLD_SIZE = "WORLD_SIZE"


@dataclass(frozen=True)
class Placement:
    """How the weights get to where they belong.

    Attributes:
        arguments: What `from_pretrained` is given besides.
        moved_to: Where the model is moved once it is whole; None where it is loaded to its place.
    """

    arguments: dict[str, Any]
    moved_to: torch.device | None


def place(device: torch.device) -> Placement:
    """Return the placement on one device.

    With accelerate, tensors go to it one by one; without, the model is whole in the host's memory first.
    """
    if device.type == "cpu" or not has_accelerate():
        return Placement({}, device)
    return Placement({"device_map": {"": device}}, None)


def place_in_slices(shape: ModelShape, config: Any) -> Placement:
    """Return the placement by transformers' own plan: each process of torchrun holds a slice, on its rank's device.

    Raises ConfigError where torchrun did not start this process, heads cannot be dealt out, or accelerate is missing.
    """
    world_size = os.environ.get(WORLD_SIZE)
    if world_size is None:
        raise _refusal("needs one process for each device, started by torchrun")
    if not getattr(config, "base_model_tp_plan", None):
        raise _refusal(f"has no plan for the family {config.model_type!r}; serve it on one device")
    num_slices = int(world_size)
    if shape.num_kv_heads % num_slices:
        message = (
            f"cannot deal {shape.num_kv_heads} key and value heads out to {num_slices} processes; start fewer"
        )
        raise _refusal(message)
    if shape.vocabulary_size % num_slices and not getattr(config, "tie_word_embeddings", False):
        # Its slices are gathered, which all must be of one size for.
        message = f"cannot deal {shape.vocabulary_size} tokens of the head out to {num_slices} processes; start fewer"
        raise _refusal(message)
    if not has_accelerate():
        raise _refusal('needs accelerate, which is not installed: pip install "paceline[accelerator]"')
    return Placement({"tp_plan": "auto"}, None)


def num_slices_of_heads(config: Any) -> int:
    """Return by how many processes the heads of a sliced model are shared: 1 where its plan gathers them in each."""
    plan: dict[str, str] = config.base_model_tp_plan
    is_dealt_out = plan.get("layers.*.self_attn.k_proj") == "colwise"
    return int(os.environ[WORLD_SIZE]) if is_dealt_out else 1


def has_accelerate() -> bool:
    """Say whether transformers can load tensors straight to a device."""
    return find_spec("accelerate") is not None


def _refusal(detail: str) -> ConfigError:
    return ConfigError(f"Tensor parallelism {detail}.", setting="tensor_parallel")
