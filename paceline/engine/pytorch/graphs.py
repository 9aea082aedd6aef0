"""Capturing work for a device, to start all of it at once: CUDA graphs."""

from collections.abc import Callable
from typing import Protocol

import torch

from paceline.engine.config import GraphUse

Compute = Callable[[], None]

# The first calls of libraries allocate and choose, which a graph must not hold.
_NUM_WARM_UPS = 2


class Capture(Protocol):
    """Turns work into a function that does it again, on what then lies in the same memory."""

    def __call__(self, compute: Compute, /) -> Compute:
        """Run the work some times and capture it; raises whatever a device raises that cannot."""
        ...


def as_it_is(compute: Compute) -> Compute:
    """Capture nothing: the work is started anew, kernel by kernel, each time."""
    return compute


class CudaCapture:
    """Captures CUDA graphs. They share the memory that they need on their way, since no two run at once."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._pool = torch.cuda.graph_pool_handle()

    def __call__(self, compute: Compute, /) -> Compute:
        """See `Capture`."""
        with torch.cuda.device(self._device):
            self._warm_up(compute)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, pool=self._pool):
                compute()
            return graph.replay

    def _warm_up(self, compute: Compute) -> None:
        """Run the work beside the default stream, as graphs are captured."""
        here, beside = torch.cuda.current_stream(), torch.cuda.Stream()
        beside.wait_stream(here)
        with torch.cuda.stream(beside):
            for _ in range(_NUM_WARM_UPS):
                compute()
        here.wait_stream(beside)


def choose_capture(device: torch.device, cuda_graphs: GraphUse, *, is_sliced: bool) -> Capture | None:
    """Return what captures forwards on a device, None where each is started anew: on CPUs, and where it is "off".

    Neither are forwards captured of a model in slices, in which several processes meet: each would have to replay the
    same graph at the same time, and one that cannot capture would leave the others waiting.
    """
    return CudaCapture(device) if device.type == "cuda" and cuda_graphs == "auto" and not is_sliced else None
