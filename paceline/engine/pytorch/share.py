"""What one process computes of a model: all of it, or a slice."""

from typing import NamedTuple, Protocol

import torch
from torch.distributed.device_mesh import DeviceMesh

from paceline.engine.config import EngineConfig
from paceline.engine.precision import Precision
from paceline.engine.pytorch.loading import LoadedModel
from paceline.engine.pytorch.runner import TorchRunner


class Share(NamedTuple):
    """A model, or a slice of it, ready to run."""

    loaded: LoadedModel
    runner: TorchRunner
    precision: Precision


class LoadShare(Protocol):
    """Loads what this process computes on a device: `paceline.engine.pytorch.backend.load_share`."""

    def __call__(self, config: EngineConfig, device: torch.device, mesh: DeviceMesh | None = None) -> Share:
        """Load all of the model, or a slice where `mesh` holds the processes that share it."""
        ...
