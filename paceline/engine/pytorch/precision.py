"""Devices and precisions of PyTorch by the names that the configuration has for them."""

import torch

from paceline.engine.precision import QUANTISED_KV, Precision
from paceline.errors import ConfigError

DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}


def choose_device(name: str) -> torch.device:
    """Return a device; raises ConfigError where it is not there."""
    if name == "auto":
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name.lower())
    except RuntimeError:
        device = torch.device("meta")
    if device.type not in {"cpu", "cuda"}:
        message = f"{name!r} is no device of the engine torch: give cpu, cuda, cuda:N or auto."
        raise ConfigError(message, setting="device")
    if device.type == "cpu":
        return torch.device("cpu")
    number = device.index or 0
    if number >= torch.cuda.device_count():
        message = (
            f"{name!r} is not there: PyTorch {torch.__version__} sees {torch.cuda.device_count()} CUDA devices. "
            "Install PyTorch's build for CUDA and check nvidia-smi, or give --device cpu."
        )
        raise ConfigError(message, setting="device")
    return torch.device("cuda", number)


def choose_torch_precision(device: torch.device, compute: str, kv: str) -> Precision:
    """Replace "auto": bf16 on CUDA devices, f32 on CPUs, and the KV cache as the computation.

    Raises ConfigError for a KV cache in u8 or u4, which this engine does not have.
    """
    if kv in QUANTISED_KV:
        message = f"The engine torch keeps no KV in {kv}: choose f32, bf16 or f16."
        raise ConfigError(message, setting="kv_precision")
    if compute == "auto":
        compute = "bf16" if device.type == "cuda" else "f32"
    return Precision(compute, compute if kv == "auto" else kv)
