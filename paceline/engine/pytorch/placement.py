"""Where a model's weights go: onto one device, or in slices onto several, a process each."""

from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import torch
from torch.distributed.device_mesh import DeviceMesh

from paceline.engine.pytorch.shape import ModelShape
from paceline.engine.pytorch.sums_in_order import plan_in_order
from paceline.errors import ConfigError

# Of two parts, either order gives the same sum.
_MOST_UNORDERED = 2


@dataclass(frozen=True)
class Slices:
    """How a model is dealt out.

    Attributes:
        mesh: The processes that hold a slice each, of which this is one.
        in_order: Whether sums over the slices must not depend on where in a pass a row is.
    """

    mesh: DeviceMesh
    in_order: bool

    @property
    def num_slices(self) -> int:
        """How many there are."""
        return self.mesh.size()


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


def require_slices(shape: ModelShape, config: Any, num_slices: int) -> None:
    """Refuse a model that cannot be dealt out to so many processes; raises ConfigError."""
    if not getattr(config, "base_model_tp_plan", None):
        raise _refusal(f"has no plan for the family {config.model_type!r}; serve it on one device")
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


def place_in_slices(config: Any, slices: Slices) -> Placement:
    """Return the placement by transformers' own plan: each process holds a slice, on its rank's device.

    Sums in order are written into the config's plan.
    """
    if slices.in_order and slices.num_slices > _MOST_UNORDERED:
        config.base_model_tp_plan = plan_in_order(config.base_model_tp_plan)
    return Placement({"tp_plan": "auto", "device_mesh": slices.mesh}, None)


def num_slices_of_heads(config: Any, slices: Slices) -> int:
    """Return by how many processes the heads of a sliced model are shared: 1 where its plan gathers them in each."""
    plan: dict[str, str] = config.base_model_tp_plan
    is_dealt_out = plan.get("layers.*.self_attn.k_proj") == "colwise"
    return slices.num_slices if is_dealt_out else 1


def has_accelerate() -> bool:
    """Say whether transformers can load tensors straight to a device."""
    return find_spec("accelerate") is not None


def _refusal(detail: str) -> ConfigError:
    return ConfigError(f"Tensor parallelism {detail}.", setting="tensor_parallel")
