"""The real model that the engine's tests share."""

from dataclasses import replace
from pathlib import Path

import openvino as ov
import pytest

from paceline.engine.engine import Engine, EngineConfig
from paceline.engine.graph.manifest import WEIGHTS_FILE, Manifest
from paceline.engine.graph.weights import open_weights
from paceline.models.catalog import SMOLLM2_135M
from paceline.models.prepare import prepare
from tests.paceline.engine.engines import OPENVINO, Where
from tests.paceline.engine.tiny_models import write_prepared

BLOCK_SIZE = 32
_BYTES_PER_TOKEN_AND_LAYER = {"bf16": 768, "f32": 1536}


def load_smollm2(
    weights: str, compute: str, num_blocks: int, where: Where = OPENVINO, directory: Path | None = None
) -> Engine:
    """Load an engine that promises exactness; skips the test where the device does not compute in this precision.

    `directory` is where `write_shallow` has put the model, the whole one where it is None.
    """
    where.require()
    capabilities = ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    if where == OPENVINO and compute == "bf16" and "BF16" not in capabilities:
        pytest.skip("this CPU computes no bf16")
    directory = directory or prepare(SMOLLM2_135M.name, weights)
    num_layers = Manifest.read(directory).architecture.num_layers
    config = EngineConfig(
        directory,
        num_blocks * BLOCK_SIZE * num_layers * _BYTES_PER_TOKEN_AND_LAYER[compute] // where.tensor_parallel,
        num_threads=2 if where == OPENVINO else 1,
        engine=where.engine,
        device=where.device,
        tensor_parallel=where.tensor_parallel,
        compute_precision=compute,
    )
    return Engine.load(config)


def write_shallow(directory: Path, weights: str, num_layers: int) -> Path:
    """Write a model of the first layers alone: all its shapes are real ones, and it computes in a tenth of the time."""
    whole = prepare(SMOLLM2_135M.name, weights)
    kept = {
        name: values
        for name, values in open_weights(whole / WEIGHTS_FILE).items()
        if not name.startswith("blk.") or int(name.split(".")[1]) < num_layers
    }
    shape = replace(Manifest.read(whole).architecture, num_layers=num_layers)
    return write_prepared(directory, shape, kept, weights)
