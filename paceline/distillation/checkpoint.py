"""A student on its way, on disk: replaced as a whole, so that there is always a complete one."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from paceline.distillation.optimizers import Optimizers
from paceline.distillation.student import Student
from paceline.engine.graph.weights import Array, open_weights
from paceline.errors import PacelineError
from paceline.models.safetensors_file import write_safetensors

_STUDENT, _OPTIMIZERS, _POINT = "student.", "optimizers.", "point"


class BrokenCheckpointError(PacelineError):
    """A checkpoint cannot be read (`path`, `detail`)."""

    reason = "INVALID_CHECKPOINT"

    def __init__(self, path: Path, detail: str) -> None:
        super().__init__(
            f"{path} cannot be read ({detail}); remove it to train from the start", path=path, detail=detail
        )


@dataclass(frozen=True)
class TrainingPoint:
    """How far training has come; the next batch follows from it.

    Attributes:
        num_steps: Steps of the optimizer.
        num_tokens: Labelled tokens trained on, those of all epochs.
        seconds: Spent on it.
        epoch: Number of the current epoch.
        num_shards: It goes through the first shards.
        num_batches: Of it, so many batches are done.
    """

    num_steps: int = 0
    num_tokens: int = 0
    seconds: float = 0.0
    epoch: int = 0
    num_shards: int = 0
    num_batches: int = 0


def save_checkpoint(path: Path, student: Student, optimizers: Optimizers, point: TrainingPoint) -> None:
    """Replace the checkpoint, a safetensors file: reading it runs nothing."""
    unfinished = path.with_suffix(".part")
    tensors = {
        **{_STUDENT + name: tensor for name, tensor in student.state_dict().items()},
        **{_OPTIMIZERS + name: tensor for name, tensor in optimizers.tensors().items()},
    }
    arrays: dict[str, Array] = {name: tensor.detach().numpy() for name, tensor in tensors.items()}
    arrays[_POINT] = np.frombuffer(json.dumps(asdict(point)).encode(), np.uint8)
    write_safetensors(unfinished, arrays)
    unfinished.replace(path)


def load_checkpoint(path: Path, student: Student, optimizers: Optimizers | None = None) -> TrainingPoint:
    """Give a student, and the optimizers where training goes on, the saved state; raises BrokenCheckpointError."""
    try:
        arrays = open_weights(path)
        point = TrainingPoint(**json.loads(arrays[_POINT].tobytes()))
        student.load_state_dict(_tensors(arrays, _STUDENT))
        if optimizers is not None:
            optimizers.load_tensors(_tensors(arrays, _OPTIMIZERS))
    except (PacelineError, RuntimeError, ValueError, KeyError, TypeError) as error:
        raise BrokenCheckpointError(path, str(error).partition("\n")[0]) from error
    return point


def _tensors(arrays: Mapping[str, Array], prefix: str) -> dict[str, torch.Tensor]:
    """Return copies, since the file may be replaced."""
    return {
        name.removeprefix(prefix): torch.from_numpy(np.array(array))
        for name, array in arrays.items()
        if name.startswith(prefix)
    }
