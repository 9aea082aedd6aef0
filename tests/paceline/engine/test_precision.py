"""What "auto" means on a device with and without bf16."""

import openvino as ov
import pytest

from paceline.engine.precision import Precision, choose_precision


class Device:
    """Stands in for `openvino.Core` on a machine that we are not on."""

    capabilities: list[str]

    def get_property(self, _device: str, name: str) -> list[str]:
        assert name == "OPTIMIZATION_CAPABILITIES"
        return self.capabilities


@pytest.mark.parametrize(
    ("capabilities", "weights", "compute", "kv", "chosen"),
    [
        (["FP32", "BF16"], "f16", "auto", "auto", Precision("bf16", "bf16")),
        (["FP32"], "f16", "auto", "auto", Precision("f32", "f32")),
        (["FP32", "BF16"], "int8", "auto", "auto", Precision("f32", "f32")),
        (["FP32", "BF16"], "int4", "auto", "auto", Precision("f32", "f32")),
        (["FP32", "BF16"], "f32", "auto", "auto", Precision("f32", "f32")),
        (["FP32", "BF16"], "f16", "auto", "f32", Precision("bf16", "f32")),
        (["FP32", "BF16"], "f16", "f32", "auto", Precision("f32", "f32")),
        (["FP32"], "int8", "bf16", "f16", Precision("bf16", "f16")),
    ],
)
def test_auto_follows_the_weights_and_the_device(
    monkeypatch: pytest.MonkeyPatch,
    capabilities: list[str],
    weights: str,
    compute: str,
    kv: str,
    chosen: Precision,
) -> None:
    monkeypatch.setattr(Device, "capabilities", capabilities, raising=False)
    monkeypatch.setattr(ov, "Core", Device)
    assert choose_precision("CPU", weights, compute, kv) == chosen
