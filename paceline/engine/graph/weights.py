"""Weights in the formats that the graph computes with, and their file.

A linear layer `name` of shape [num_outputs, num_inputs] is stored as

| format | tensors |
|---|---|
| f32, f16 | `name` |
| int8 | `name.q` int8 [num_outputs, num_inputs], `name.scale` f16 [num_outputs, 1] |
| int4 | `name.q` uint8 [num_outputs, num_groups, group_size / 2], `name.scale` f16 [num_outputs, num_groups, 1], |
|      | `name.zero` uint8 [num_outputs * num_groups / 2] |

and means q * scale, or (q - zero) * scale. int4 values lie two in a byte, the first in the lower half. Vectors
(norms, biases) are f32. `fast_head` is the output projection once more in int4, for a draft. The file is a safetensors
file: https://github.com/huggingface/safetensors#format.
"""

import json
import struct
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from paceline.engine.errors import UnsupportedModelError

Array = npt.NDArray[np.generic]
FloatArray = npt.NDArray[np.float32]

SAFETENSORS_TYPES = {"F32": np.float32, "F16": np.float16, "I8": np.int8, "U8": np.uint8}
INT4_GROUP_SIZES = (128, 64, 32)
FAST_HEAD = "fast_head"


def open_weights(path: Path) -> dict[str, Array]:
    """Map the tensors of a safetensors file into memory, read-only and without a copy.

    Replicas on one machine share these pages. Raises UnsupportedModelError where the file is not what it should be.
    """
    try:
        # Copy-on-write, since openvino takes no read-only arrays; nobody writes.
        data = np.memmap(path, np.uint8, "c")
        header_size = struct.unpack("<Q", data[:8].tobytes())[0]
        header = json.loads(data[8 : 8 + header_size].tobytes())
        start = 8 + header_size
        return {name: _view(data, start, entry) for name, entry in header.items() if name != "__metadata__"}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, struct.error) as error:
        message = f"{path} cannot be read as weights: {error}. Prepare the model again."
        raise UnsupportedModelError(message, path=str(path)) from error


def _view(data: Array, start: int, entry: Mapping[str, list[int] | str]) -> Array:
    begin, end = entry["data_offsets"]
    dtype = SAFETENSORS_TYPES[str(entry["dtype"])]
    return (
        data[start + int(begin) : start + int(end)]
        .view(dtype)
        .reshape([int(size) for size in entry["shape"]])
    )


def quantize(name: str, weight: FloatArray, weights_format: str) -> dict[str, Array]:
    """Return the stored tensors of one linear layer.

    Example: the row [-2.54, 0, 1.28] in int8 is scale 0.02 and q [-127, 0, 64].
    """
    if weights_format == "f32":
        return {name: weight}
    if weights_format == "f16":
        return {name: weight.astype(np.float16)}
    if weights_format == "int8":
        return _quantize_int8(name, weight)
    if weights_format == "int4" and int4_group_size(weight.shape[1]):
        return _quantize_int4(name, weight)
    return _quantize_int8(name, weight)


def int4_group_size(num_inputs: int) -> int | None:
    """Return the widest group that divides a row, or None where int4 cannot hold it and int8 is stored instead."""
    return next((size for size in INT4_GROUP_SIZES if num_inputs % size == 0), None)


def _quantize_int8(name: str, weight: FloatArray) -> dict[str, Array]:
    """Symmetric, a scale a row."""
    scale = _positive(np.abs(weight).max(axis=1, keepdims=True) / 127)
    quantized = np.clip(np.rint(weight / scale.astype(np.float32)), -127, 127).astype(np.int8)
    return {f"{name}.q": quantized, f"{name}.scale": scale}


def _quantize_int4(name: str, weight: FloatArray) -> dict[str, Array]:
    """Asymmetric, a scale and a zero point a group of a row."""
    group_size = int4_group_size(weight.shape[1])
    assert group_size is not None
    groups = weight.reshape(weight.shape[0], -1, group_size)
    low = np.minimum(groups.min(axis=2, keepdims=True), 0)
    high = np.maximum(groups.max(axis=2, keepdims=True), 0)
    scale = _positive((high - low) / 15)
    wide_scale = scale.astype(np.float32)
    zero = np.clip(np.rint(-low / wide_scale), 0, 15)
    quantized = np.clip(np.rint(groups / wide_scale + zero), 0, 15).astype(np.uint8)
    return {
        f"{name}.q": _pack(quantized).reshape(*groups.shape[:2], group_size // 2),
        f"{name}.scale": scale,
        f"{name}.zero": _pack(zero.astype(np.uint8)),
    }


def _positive(scale: FloatArray) -> npt.NDArray[np.float16]:
    """Scales as stored; a row of zeros gets scale 1, and a tiny one the smallest that f16 can divide by."""
    stored = np.maximum(scale, np.float32(np.finfo(np.float16).smallest_normal)).astype(np.float16)
    stored[scale == 0] = 1
    return stored


def _pack(values: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Two values a byte, the first in the lower half; an odd count is filled up with a zero."""
    flat = values.reshape(-1)
    flat = np.append(flat, np.uint8(0)) if flat.size % 2 else flat
    return np.bitwise_or(flat[0::2], np.left_shift(flat[1::2], 4), dtype=np.uint8)
