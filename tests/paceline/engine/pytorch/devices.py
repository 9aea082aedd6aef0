"""Where what is written for torch's devices is tested."""

from typing import TypeAlias

import pytest
import torch

Device: TypeAlias = torch.device

_NEEDS_CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA device")
DEVICES = [
    pytest.param(Device("cpu"), id="cpu"),
    pytest.param(Device("cuda"), id="cuda", marks=_NEEDS_CUDA),
]
