"""Sums over the slices of a model whose order does not depend on where in a pass a row is.

An all-reduce of more than two processes adds the parts of each piece of a tensor up in another order, so that a row's
last bits depend on its place in the pass. Here each process gets all parts, which is exact, and adds them up by rank. A
style of transformers' plans: https://huggingface.co/docs/transformers/perf_infer_gpu_multi.
"""

from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.distributed.device_mesh import DeviceMesh
from transformers.integrations.tensor_parallel import ParallelInterface, RowwiseParallel

_IN_ORDER = {"rowwise": "rowwise_in_order", "rowwise_split_input": "rowwise_split_input_in_order"}


def plan_in_order(plan: dict[str, str]) -> dict[str, str]:
    """Return a plan of transformers with its sums in order; nothing else of a plan adds anything up."""
    return {layer: _IN_ORDER.get(style, style) for layer, style in plan.items()}


class RowwiseInOrder(RowwiseParallel):
    """A linear layer that is cut along its inputs."""

    def _prepare_output_fn(self, mod: nn.Module, outputs: Tensor, device_mesh: DeviceMesh) -> Tensor:
        total = _sum(outputs.contiguous(), device_mesh)
        bias: Any = getattr(mod, "_bias", None)  # taken from the layer before it computes
        return total if bias is None else total + bias


def _sum(part: Tensor, mesh: DeviceMesh) -> Tensor:
    """Add the parts up in f32, by rank."""
    parts = [torch.empty_like(part) for _ in range(mesh.size())]
    distributed.all_gather(parts, part, group=mesh.get_group())
    total = parts[0].float()
    for other in parts[1:]:
        total = total + other
    return total.to(part.dtype)


_register: Any = ParallelInterface.register  # typed for functions, and holds layers
_register(_IN_ORDER["rowwise"], RowwiseInOrder())
_register(_IN_ORDER["rowwise_split_input"], RowwiseInOrder(split_input=True))
