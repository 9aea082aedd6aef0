"""Weights survive quantising within half a step, and their file byte for byte."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from paceline.engine.errors import UnsupportedModelError
from paceline.engine.graph.weights import FloatArray, int4_group_size, open_weights, quantize
from paceline.models.safetensors_file import write_safetensors
from tests.paceline.engine.tiny_models import LLAMA, dequantized, random_weights, stored_weights

# Weights as models have them, and as they might: single large ones, rows of zeros, tiny ones.
VALUES = st.floats(-100, 100, width=32) | st.just(0.0) | st.floats(-(2**-20), 2**-20, width=32)
SMALLEST_STEP = float(np.finfo(np.float16).smallest_normal)
# The step is stored in f16, whose rounding shows at the far end of a row.
HALF_STEP = 0.5 + 127 * 2**-11


def matrices(num_inputs: int) -> st.SearchStrategy[FloatArray]:
    return arrays.arrays(np.float32, st.tuples(st.integers(1, 5), st.just(num_inputs)), elements=VALUES)


@given(weight=matrices(7))
@settings(deadline=None)
def test_int8_is_within_half_a_step_of_a_row(weight: FloatArray) -> None:
    stored = quantize("a", weight, "int8")
    assert (stored["a.q"].dtype, stored["a.scale"].dtype) == (np.int8, np.float16)
    step = np.maximum(np.abs(weight).max(axis=1, keepdims=True) / 127, SMALLEST_STEP)
    assert (np.abs(dequantized(stored)["a"] - weight) <= HALF_STEP * step).all()


@given(weight=matrices(96))
@settings(deadline=None)
def test_int4_is_within_half_a_step_of_a_group(weight: FloatArray) -> None:
    stored = quantize("a", weight, "int4")
    assert stored["a.q"].shape == (weight.shape[0], 3, 16)
    groups = weight.reshape(weight.shape[0], 3, 32)
    spread = np.maximum(groups.max(axis=2, keepdims=True), 0) - np.minimum(
        groups.min(axis=2, keepdims=True), 0
    )
    step = np.maximum(spread / 15, SMALLEST_STEP)
    difference = np.abs(dequantized(stored)["a"].reshape(groups.shape) - groups)
    assert (difference <= HALF_STEP * step).all()


@given(weight=matrices(64))
@settings(deadline=None)
def test_zeros_stay_zeros_in_every_format(weight: FloatArray) -> None:
    for weights_format in ("f32", "f16", "int8", "int4"):
        meant = dequantized(quantize("a", weight, weights_format))["a"]
        assert meant.shape == weight.shape
        assert (meant[weight == 0] == 0).all()


def test_the_worked_example_of_int8() -> None:
    stored = quantize("a", np.array([[-2.54, 0, 1.28]], np.float32), "int8")
    assert stored["a.q"].tolist() == [[-127, 0, 64]]
    assert stored["a.scale"].item() == pytest.approx(0.02, rel=1e-3)


def test_the_worked_example_of_int4() -> None:
    row = np.linspace(-8, 7, 16, dtype=np.float32)
    stored = quantize("a", np.concatenate([row, row])[np.newaxis], "int4")
    assert (stored["a.scale"].item(), stored["a.zero"].tolist()) == (1, [8])
    assert stored["a.q"][0, 0, :8].tolist() == [0x10, 0x32, 0x54, 0x76, 0x98, 0xBA, 0xDC, 0xFE]


def test_f32_and_f16_are_stored_as_they_are() -> None:
    weight = np.array([[1 / 3, -2]], np.float32)
    assert quantize("a", weight, "f32")["a"].tobytes() == weight.tobytes()
    assert quantize("a", weight, "f16")["a"].tobytes() == weight.astype(np.float16).tobytes()


@pytest.mark.parametrize(
    ("num_inputs", "group_size"), [(576, 64), (896, 128), (160, 32), (32, 32), (48, None), (7, None)]
)
def test_int4_takes_the_widest_group_that_divides_a_row_and_int8_where_none_does(
    num_inputs: int, group_size: int | None
) -> None:
    assert int4_group_size(num_inputs) == group_size
    stored = quantize("a", np.ones((2, num_inputs), np.float32), "int4")
    assert ("a.zero" in stored) == (group_size is not None)


@pytest.mark.parametrize("weights_format", ["f32", "f16", "int8", "int4"])
def test_a_file_holds_the_bytes_that_were_written(tmp_path: Path, weights_format: str) -> None:
    stored = stored_weights(random_weights(LLAMA), weights_format)
    write_safetensors(tmp_path / "model.safetensors", stored)
    read = open_weights(tmp_path / "model.safetensors")
    assert list(read) == list(stored)
    for name, values in stored.items():
        assert (read[name].dtype, read[name].shape) == (values.dtype, values.shape)
        assert read[name].tobytes() == values.tobytes()


@given(data=st.data())
@settings(max_examples=100, deadline=None)
def test_a_file_that_is_cut_short_is_refused(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("cut") / "model.safetensors"
    write_safetensors(path, {"a": np.arange(6, dtype=np.float32).reshape(2, 3)})
    whole = path.read_bytes()
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    with pytest.raises(UnsupportedModelError, match="Prepare the model again"):
        open_weights(path)


@pytest.mark.parametrize(
    "header",
    [
        "[]",
        '{"a": 1}',
        '{"a": {"dtype": "F32", "shape": [1]}}',
        '{"a": {"dtype": "BF16", "shape": [1], "data_offsets": [0, 2]}}',
        '{"a": {"dtype": "F32", "shape": [3], "data_offsets": [0, 4]}}',
        '{"a": {"dtype": "F32", "shape": 1, "data_offsets": [0, 4]}}',
    ],
)
def test_a_header_that_says_nothing_sensible_is_refused(tmp_path: Path, header: str) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header.encode() + bytes(8))
    with pytest.raises(UnsupportedModelError):
        open_weights(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModelError):
        open_weights(tmp_path / "model.safetensors")
