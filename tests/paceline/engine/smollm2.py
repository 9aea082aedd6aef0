"""The real model that the engine's tests share."""

import openvino as ov
import pytest

from paceline.engine.engine import Engine, EngineConfig
from paceline.models.catalog import SMOLLM2_135M
from paceline.models.prepare import prepare

BLOCK_SIZE = 32


def load_smollm2(weights: str, compute: str, num_blocks: int) -> Engine:
    """Load an engine that promises exactness; skips the test where the CPU does not compute in this precision."""
    if compute == "bf16" and "BF16" not in ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        pytest.skip("this CPU computes no bf16")
    directory = prepare(SMOLLM2_135M.name, weights)
    bytes_per_token = 23_040 if compute == "bf16" else 46_080
    kv_cache_bytes = num_blocks * BLOCK_SIZE * bytes_per_token
    config = EngineConfig(directory, kv_cache_bytes, num_threads=2, compute_precision=compute)
    return Engine.load(config)
