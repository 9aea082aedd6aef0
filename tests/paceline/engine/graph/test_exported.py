"""Graphs that optimum-intel exported compute what transformers does, through the same engine."""

import shutil
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from paceline.engine.engine import Engine, EngineConfig
from paceline.engine.graph.manifest import Manifest
from paceline.engine.work import Logits
from paceline.models.catalog import SMOLLM2_135M
from paceline.models.prepare import prepare
from tests.paceline.engine.capture import logits_of, run
from tests.paceline.engine.reference import reference_logits, reference_model
from tests.paceline.engine.tiny_models import LLAMA, QWEN2, random_weights

pytestmark = pytest.mark.reference

IDS = np.random.default_rng(5).integers(0, LLAMA.vocabulary_size, 70).tolist()


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(LLAMA, marks=pytest.mark.slow, id="llama"),
        pytest.param(replace(QWEN2, has_tied_head=False), id="qwen2"),
    ],
)
def exported(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Engine, Logits]]:
    """An engine on an exported tiny model, and what transformers computes for IDS."""
    source, cache_dir = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("cache")
    model = reference_model(request.param, random_weights(request.param))
    model.save_pretrained(source)
    for file in prepare(SMOLLM2_135M.name, "int8").glob("tokenizer*.json"):
        shutil.copy(file, source)  # an export wants one; its ids are not used
    directory = prepare(source, "f32", cache_dir=cache_dir)
    manifest = Manifest.read(directory)
    assert (manifest.graph, manifest.architecture) == ("exported", request.param)
    config = EngineConfig(directory, 4 << 20, num_threads=2, compute_precision="f32")
    with Engine.load(config) as engine:
        yield engine, reference_logits(model, IDS)


def test_an_exported_model_computes_what_transformers_does(exported: tuple[Engine, Logits]) -> None:
    engine, expected = exported
    logits = logits_of(engine, engine.open_sequence(), 0, IDS)
    np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-3)


def test_only_the_rows_that_choose_get_logits(exported: tuple[Engine, Logits]) -> None:
    engine, expected = exported
    logits = logits_of(engine, engine.open_sequence(), 0, IDS, num_selected=3)
    np.testing.assert_allclose(logits, expected[-3:], rtol=0, atol=1e-3)


def test_an_exported_model_is_batch_invariant(exported: tuple[Engine, Logits]) -> None:
    engine, _ = exported
    assert engine.info.self_test.batch_invariant
    sequence = engine.open_sequence()
    together = logits_of(engine, sequence, 0, IDS)
    run(engine, sequence, 40, IDS[:9])
    one_by_one = [logits_of(engine, sequence, at, [IDS[at]]) for at in range(40, len(IDS))]
    assert np.concatenate(one_by_one).tobytes() == together[40:].tobytes()
