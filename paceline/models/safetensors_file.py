"""Writing a safetensors file: https://github.com/huggingface/safetensors#format."""

import json
import struct
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from paceline.engine.graph.weights import SAFETENSORS_TYPES, Array

# Tensors start at multiples of this many bytes of the file, so that mapped arrays are aligned for any vector width.
ALIGNMENT = 64


def write_safetensors(path: Path, tensors: Mapping[str, Array]) -> None:
    """Write tensors in order; `paceline.engine.graph.weights.open_weights` maps them back.

    Raises OSError where the disk is full or the path is not writable.
    """
    names: dict[np.dtype[np.generic], str] = {np.dtype(one): name for name, one in SAFETENSORS_TYPES.items()}
    header, offset = {}, 0
    for name, tensor in tensors.items():
        header[name] = {
            "dtype": names[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [offset, offset + tensor.nbytes],
        }
        offset += tensor.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-(len(text) + 8) % ALIGNMENT)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for tensor in tensors.values():
            file.write(np.ascontiguousarray(tensor).data)
