"""How large prepared models are."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from paceline.cli.evaluation.reading.weight_file import num_parameters, weight_bytes
from paceline.engine.graph.manifest import Manifest
from paceline.models.catalog import SMOLLM2_135M
from paceline.models.prepare import prepare
from tests.paceline.engine.tiny_models import QWEN2, random_weights, stored_weights, write_prepared


@pytest.mark.parametrize("weights", ["int8", "int4"])
def test_a_real_model_has_its_parameters_in_every_format(weights: str) -> None:
    directory = prepare(SMOLLM2_135M.name, weights)
    manifest = Manifest.read(directory)
    assert num_parameters(directory, manifest) == SMOLLM2_135M.num_parameters
    assert weight_bytes(directory, manifest) == (directory / "model.safetensors").stat().st_size


@pytest.mark.parametrize("weights", ["f32", "f16", "int8", "int4"])
def test_biases_and_norms_count_and_scales_do_not(weights: str, tmp_path: Path) -> None:
    values = random_weights(QWEN2)
    write_prepared(tmp_path, QWEN2, stored_weights(values, weights), weights)
    expected = sum(one.size for one in values.values())
    assert num_parameters(tmp_path, Manifest.read(tmp_path)) == expected


@pytest.mark.parametrize("weights", ["f16", "int8", "int4"])
def test_a_head_that_is_the_embedding_counts_once_though_it_is_stored_twice(
    weights: str, tmp_path: Path
) -> None:
    shape = replace(QWEN2, has_tied_head=False)
    values = random_weights(shape)
    untied = sum(one.size for one in values.values())
    noise = np.random.default_rng(0).normal(0, 0.02, values["output"].shape).astype(np.float32)
    for head, expected in (
        (values["output"], untied),
        (values["token_embd"] + noise, untied - values["output"].size),
    ):
        stored = stored_weights(values | {"output": head}, weights)
        write_prepared(tmp_path, shape, stored, weights)
        assert num_parameters(tmp_path, Manifest.read(tmp_path)) == expected
