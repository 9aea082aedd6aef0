"""The engines that the same tests run on, as far as the machine has them."""

from dataclasses import dataclass
from importlib.util import find_spec

import pytest

from paceline.engine.config import EngineKind


@dataclass(frozen=True)
class Where:
    """An engine and its device, or so many of them that hold a slice of the model each."""

    engine: EngineKind
    device: str
    tensor_parallel: int = 1

    def __str__(self) -> str:
        times = f" x {self.tensor_parallel}" if self.tensor_parallel > 1 else ""
        return f"{self.engine} on {self.device.lower()}{times}"

    def require(self) -> None:
        """Skip the test, by name, where this machine does not have it."""
        if self.device == "cuda" and not _has_cuda():
            pytest.skip("this machine has no CUDA device")
        if self.tensor_parallel > 1 and find_spec("accelerate") is None:
            pytest.skip("accelerate is not installed (the extra `accelerator`)")


OPENVINO = Where("openvino", "CPU")
TORCH_CPU = Where("torch", "cpu")
TORCH_CUDA = Where("torch", "cuda")
TORCH_SLICED = Where("torch", "cpu", tensor_parallel=3)
TORCH = [pytest.param(where, id=str(where), marks=pytest.mark.reference) for where in (TORCH_CPU, TORCH_CUDA)]
EVERYWHERE = [pytest.param(OPENVINO, id=str(OPENVINO)), *TORCH]


def _has_cuda() -> bool:
    if find_spec("torch") is None:
        return False
    import torch  # noqa: PLC0415

    return torch.cuda.is_available()
