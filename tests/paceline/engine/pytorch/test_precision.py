"""Devices and precisions have one set of names for both engines."""

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed (`make setup` installs it)")

from torch import device as Device  # noqa: E402, N812

from paceline.engine.precision import Precision  # noqa: E402
from paceline.engine.pytorch.precision import choose_device, choose_torch_precision  # noqa: E402
from paceline.errors import ConfigError  # noqa: E402

pytestmark = pytest.mark.reference

CPU, CUDA = torch.device("cpu"), torch.device("cuda", 0)


@pytest.mark.parametrize(
    ("device", "compute", "kv", "chosen"),
    [
        (CPU, "auto", "auto", Precision("f32", "f32")),
        (CUDA, "auto", "auto", Precision("bf16", "bf16")),
        (CPU, "bf16", "auto", Precision("bf16", "bf16")),
        (CUDA, "f32", "bf16", Precision("f32", "bf16")),
        (CUDA, "bf16", "f16", Precision("bf16", "f16")),
    ],
)
def test_what_auto_means(device: Device, compute: str, kv: str, chosen: Precision) -> None:
    assert choose_torch_precision(device, compute, kv) == chosen


@pytest.mark.parametrize("kv", ["u8", "u4"])
def test_quantised_kv_is_refused(kv: str) -> None:
    with pytest.raises(ConfigError, match=kv) as caught:
        choose_torch_precision(CPU, "auto", kv)
    assert caught.value.facts == {"setting": "kv_precision"}


@pytest.mark.parametrize("name", ["cpu", "CPU"])
def test_the_cpu_has_one_name_in_any_case(name: str) -> None:
    assert choose_device(name) == CPU


def test_auto_is_a_cuda_device_where_there_is_one() -> None:
    assert choose_device("auto") == (CUDA if torch.cuda.is_available() else CPU)


@pytest.mark.parametrize("name", ["GPU", "NPU", "meta", "nowhere", "cuda:99", ""])
def test_a_device_that_is_not_there_is_named(name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        choose_device(name)
    assert repr(name) in caught.value.message
    assert caught.value.facts == {"setting": "device"}
