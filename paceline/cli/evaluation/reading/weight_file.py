"""How large a prepared model is: what its weight file holds."""

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import openvino as ov

from paceline.engine.graph.manifest import EXPORTED_FILE, WEIGHTS_FILE, Manifest
from paceline.engine.graph.weights import FAST_HEAD, Array, FloatArray, open_weights

_EMBEDDING, _HEAD = "token_embd", "output"
_NUM_COMPARED_ROWS = 64
# Two quantisations of one matrix are this alike; rows of different matrices have nothing in common.
_LEAST_COSINE = 0.9
# What weights are made of; constants of other types are shapes, axes and masks.
_WEIGHT_TYPES = {"f32", "f16", "bf16", "i8", "u8", "i4", "u4"}


def weight_bytes(directory: Path, manifest: Manifest) -> int:
    """Return the bytes of the file that holds the weights; a draft's second head in int4 counts, since it is there."""
    name = WEIGHTS_FILE if manifest.graph == "built" else str(Path(EXPORTED_FILE).with_suffix(".bin"))
    return (directory / name).stat().st_size


def num_parameters(directory: Path, manifest: Manifest) -> int:
    """Return the number of parameters, as the file has them: scales and zero points do not count.

    A head that is the embedding counts once, even where a file has it twice, as GGUF files do that quantise the two
    differently.

    Of an exported graph, whose constants bear no names that we know, all that look like weights count: their types are
    those of weights, and their rows are longer than one, which sets scales and zero points apart.
    """
    if manifest.graph == "built":
        return _num_stored(directory / WEIGHTS_FILE)
    return _num_exported(directory / EXPORTED_FILE)


def _num_stored(path: Path) -> int:
    weights = open_weights(path)
    left_out = {FAST_HEAD, *([_HEAD] if _is_tied(weights) else [])}
    total = 0
    for name, values in weights.items():
        layer, _, part = name.rpartition(".")
        if part in {"scale", "zero"} or layer in left_out or name in left_out:
            continue
        is_packed = part == "q" and f"{layer}.zero" in weights  # two int4 values a byte
        total += values.size * (2 if is_packed else 1)
    return total


def _is_tied(weights: Mapping[str, Array]) -> bool:
    """Whether some rows of the head point where those of the embedding do."""
    heads, embeddings = _some_rows(weights, _HEAD), _some_rows(weights, _EMBEDDING)
    if heads is None or embeddings is None or heads.shape != embeddings.shape:
        return False
    lengths = np.linalg.norm(heads, axis=1) * np.linalg.norm(embeddings, axis=1)
    return bool(((heads * embeddings).sum(axis=1) >= _LEAST_COSINE * lengths).all())


def _some_rows(weights: Mapping[str, Array], name: str) -> FloatArray | None:
    """Rows of a matrix, spread evenly, as numbers; None where there is no such matrix in f32, f16 or int8."""
    stored = weights.get(name, weights.get(f"{name}.q"))
    if stored is None or f"{name}.zero" in weights:
        return None
    rows = np.linspace(0, len(stored) - 1, _NUM_COMPARED_ROWS).astype(np.int64)
    scale = 1 if name in weights else weights[f"{name}.scale"][rows].astype(np.float32)
    return stored[rows].astype(np.float32) * scale


def _num_exported(path: Path) -> int:
    constants = (node for node in ov.Core().read_model(path).get_ops() if node.get_type_name() == "Constant")
    shapes = (
        list(node.get_output_shape(0))
        for node in constants
        if node.get_element_type().get_type_name() in _WEIGHT_TYPES
    )
    return sum(math.prod(shape) for shape in shapes if shape and shape[-1] > 1)
