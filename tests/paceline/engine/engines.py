"""The engines that the same tests run on, as far as the machine has them."""

from dataclasses import dataclass
from importlib.util import find_spec

import pytest

from paceline.engine.config import EngineKind


@dataclass(frozen=True)
class Where:
    """An engine and its device."""

    engine: EngineKind
    device: str

    def __str__(self) -> str:
        return f"{self.engine} on {self.device.lower()}"

    def require(self) -> None:
        """Skip the test, by name, where this machine does not have it."""
        if self.device == "cuda" and not _has_cuda():
            pytest.skip("this machine has no CUDA device")


OPENVINO = Where("openvino", "CPU")
TORCH_CPU = Where("torch", "cpu")
TORCH_CUDA = Where("torch", "cuda")
TORCH = [pytest.param(where, id=str(where), marks=pytest.mark.reference) for where in (TORCH_CPU, TORCH_CUDA)]
EVERYWHERE = [pytest.param(OPENVINO, id=str(OPENVINO)), *TORCH]


def _has_cuda() -> bool:
    if find_spec("torch") is None:
        return False
    import torch  # noqa: PLC0415

    return torch.cuda.is_available()
