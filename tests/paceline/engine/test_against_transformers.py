"""The engine's logits are those of transformers with the same weights."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from paceline.engine.engine import Engine, EngineConfig
from paceline.engine.graph.architecture import Architecture
from paceline.engine.graph.manifest import WEIGHTS_FILE, Manifest
from paceline.engine.graph.weights import Array, open_weights
from paceline.engine.work import Logits
from paceline.models.cache import default_cache_dir
from paceline.models.catalog import SMOLLM2_135M
from paceline.models.prepare import prepare
from paceline.models.pull import pull
from tests.paceline.engine.capture import logits_of
from tests.paceline.engine.engines import EVERYWHERE, Where
from tests.paceline.engine.reference import gguf_reference_model, reference_logits, reference_model
from tests.paceline.engine.smollm2 import load_smollm2
from tests.paceline.engine.tiny_models import (
    LLAMA,
    QWEN2,
    dequantized,
    random_weights,
    stored_weights,
    write_prepared,
)

pytestmark = pytest.mark.reference

TOLERANCE = 1e-3  # of logits that spread over several units
# With int8 and int4 weights OpenVINO computes in f32 with int8 activations: each layer is off by up to 1 in 127.
QUANTIZED_TOLERANCE = 0.04  # of the logits' norm; a tensor that is read wrongly is off by about 1
IDS = np.random.default_rng(5).integers(0, LLAMA.vocabulary_size, 70).tolist()

ARCHITECTURES = {
    f"{base.family}, {what}": replace(base, **changes)
    for base in (LLAMA, QWEN2)
    for what, changes in {
        "tied head": {},
        "untied head": {"has_tied_head": False},
        "no grouped queries": {"num_kv_heads": base.num_heads},
        "one KV head": {"num_kv_heads": 1},
        "wide heads": {"head_size": 2 * base.hidden_size // base.num_heads},
        "three layers of wide epsilon": {"num_layers": 3, "norm_epsilon": 0.1},
    }.items()
}


@pytest.fixture(params=ARCHITECTURES.values(), ids=list(ARCHITECTURES))
def architecture(request: pytest.FixtureRequest) -> Architecture:
    return request.param


@pytest.fixture(params=EVERYWHERE)
def where(request: pytest.FixtureRequest) -> Where:
    request.param.require()
    return request.param


def load(
    directory: Path,
    architecture: Architecture,
    stored: Mapping[str, Array],
    weights_format: str,
    where: Where,
    **options: Any,
) -> Engine:
    write_prepared(directory, architecture, stored, weights_format)
    config = EngineConfig(
        directory,
        4 << 20,
        num_threads=2,
        engine=where.engine,
        device=where.device,
        compute_precision="f32",
        **options,
    )
    return Engine.load(config)


def relative_difference(logits: Logits, expected: Logits) -> float:
    return float(np.linalg.norm(logits - expected) / np.linalg.norm(expected))


@pytest.mark.parametrize("weights_format", ["f32", "f16"])
def test_a_tiny_model_computes_what_transformers_does(
    tmp_path: Path, architecture: Architecture, weights_format: str, where: Where
) -> None:
    stored = stored_weights(random_weights(architecture), weights_format)
    expected = reference_logits(reference_model(architecture, dequantized(stored)), IDS)
    assert expected.std() > 1
    with load(tmp_path, architecture, stored, weights_format, where) as engine:
        logits = logits_of(engine, engine.open_sequence(), 0, IDS)
    np.testing.assert_allclose(logits, expected, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("weights_format", ["int8", "int4"])
def test_a_tiny_quantised_model_computes_what_its_dequantised_weights_do(
    tmp_path: Path, architecture: Architecture, weights_format: str, where: Where
) -> None:
    stored = stored_weights(random_weights(architecture), weights_format)
    expected = reference_logits(reference_model(architecture, dequantized(stored)), IDS)
    with load(tmp_path, architecture, stored, weights_format, where) as engine:
        logits = logits_of(engine, engine.open_sequence(), 0, IDS)
    assert relative_difference(logits, expected) < QUANTIZED_TOLERANCE


@pytest.mark.parametrize("base", [LLAMA, QWEN2], ids=lambda base: base.family)
def test_prompts_in_chunks_compute_what_transformers_does(
    tmp_path: Path, base: Architecture, where: Where
) -> None:
    weights = random_weights(base)
    with load(tmp_path, base, weights, "f32", where, batch_invariant="off") as engine:
        logits = logits_of(engine, engine.open_sequence(), 0, IDS)
    np.testing.assert_allclose(
        logits, reference_logits(reference_model(base, weights), IDS), rtol=0, atol=TOLERANCE
    )


def test_a_real_model_computes_what_transformers_does_with_the_same_file(where: Where) -> None:
    expected = reference_logits(gguf_reference_model(pull(SMOLLM2_135M, default_cache_dir())), IDS)
    with load_smollm2("f16", "f32", num_blocks=13, where=where) as engine:
        logits = logits_of(engine, engine.open_sequence(), 0, IDS)
    np.testing.assert_allclose(logits, expected, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("weights_format", ["int8", pytest.param("int4", marks=pytest.mark.slow)])
def test_a_real_quantised_model_computes_what_its_dequantised_weights_do(weights_format: str) -> None:
    directory = prepare(SMOLLM2_135M.name, weights_format)
    weights = dequantized(open_weights(directory / WEIGHTS_FILE))
    expected = reference_logits(reference_model(Manifest.read(directory).architecture, weights), IDS)
    with load_smollm2(weights_format, "f32", num_blocks=13) as engine:
        logits = logits_of(engine, engine.open_sequence(), 0, IDS)
    assert relative_difference(logits, expected) < QUANTIZED_TOLERANCE
