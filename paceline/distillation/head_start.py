"""What a student knows before it is taught: which tokens are alike, from the target's own table."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from paceline.engine.graph.builder import head_name
from paceline.engine.graph.manifest import WEIGHTS_FILE, Manifest
from paceline.engine.graph.weights import Array, FloatArray, open_weights


def embedding_of(directory: Path, width: int) -> FloatArray | None:
    """Return the table by which the target tells tokens apart, in fewer dimensions [vocabulary_size, width].

    It is the projection that keeps the dot products best. The mean square norm of the rows is 1. None where the target
    is an exported graph, or no wider than the student.
    """
    manifest = Manifest.read(directory)
    if manifest.graph != "built" or width >= manifest.architecture.hidden_size:
        return None
    table = _table(open_weights(directory / WEIGHTS_FILE), head_name(manifest.architecture))
    return None if table is None else projected(table, width)


def projected(table: FloatArray, width: int) -> FloatArray:
    """Return rows in the directions along which they differ most; the mean square norm of the rows is 1."""
    _, directions = np.linalg.eigh((table.T @ table).astype(np.float64))  # the weakest first
    rows = table @ directions[:, : -width - 1 : -1].astype(np.float32)
    return rows / np.sqrt((rows**2).sum(axis=1).mean())


def _table(weights: Mapping[str, Array], name: str) -> FloatArray | None:
    if name in weights:
        return weights[name].astype(np.float32)
    if f"{name}.zero" in weights:  # int4, which the embedding and the head never are where we prepare them
        return None
    return weights[f"{name}.q"].astype(np.float32) * weights[f"{name}.scale"].astype(np.float32)
