"""Which precision "auto" means, and which ones quantise the KV."""

from typing import NamedTuple

import openvino as ov

# Neighbouring rows share scales: what is read of a row depends on which others were written beside it, refused drafts
# among them.
QUANTISED_KV = frozenset({"u8", "u4"})


class Precision(NamedTuple):
    """Precision of the computation and of the KV cache."""

    compute: str
    kv: str


def openvino_device(name: str) -> str:
    """Return OpenVINO's name of a device: that of the CPU for "auto"."""
    return "CPU" if name == "auto" else name


def choose_precision(device: str, weights: str, compute: str, kv: str) -> Precision:
    """Replace "auto"; measurements are in docs/decisions/002-weights-and-precision.md.

    int8 and int4 weights compute in f32, whose kernels take int8 activations; f16 weights in bf16 where the device
    has it. The KV cache is as the computation, since u8, the device's own default, breaks bit-identity.
    """
    if compute == "auto":
        has_bf16 = "BF16" in ov.Core().get_property(openvino_device(device), "OPTIMIZATION_CAPABILITIES")
        compute = "bf16" if weights == "f16" and has_bf16 else "f32"
    return Precision(compute, compute if kv == "auto" else kv)
