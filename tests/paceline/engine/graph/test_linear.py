"""Linear layers and embeddings compute what their stored weights mean, compiled without dynamic quantisation."""

import numpy as np
import openvino as ov
import pytest
from openvino import opset13 as ops

from paceline.engine.graph.linear import embed, linear
from paceline.engine.graph.weights import Array, FloatArray, quantize
from tests.paceline.engine.tiny_models import dequantized

EXACT = {"INFERENCE_PRECISION_HINT": "f32", "DYNAMIC_QUANTIZATION_GROUP_SIZE": "0"}


def random_matrix(num_outputs: int, num_inputs: int) -> FloatArray:
    return np.random.default_rng(3).standard_normal((num_outputs, num_inputs), np.float32)


def computed(result: ov.Node, argument: ov.Node, value: Array) -> FloatArray:
    model = ov.Model([ops.result(result)], [argument], "layer")  # pyright: ignore[reportGeneralTypeIssues]
    return ov.Core().compile_model(model, "CPU", EXACT)([value])[0]


@pytest.mark.parametrize("weights_format", ["f32", "f16", "int8", "int4"])
@pytest.mark.parametrize("shape", [(5, 32), (48, 96), (33, 128), (7, 24)], ids=str)
@pytest.mark.parametrize("has_bias", [False, True])
def test_a_linear_layer_multiplies_by_what_is_stored(
    weights_format: str, shape: tuple[int, int], has_bias: bool
) -> None:
    stored = quantize("a", random_matrix(*shape), weights_format)
    meant = dequantized(stored)["a"]
    bias = random_matrix(1, shape[0])[0] if has_bias else np.zeros(shape[0], np.float32)
    weights = stored | {"a.bias": bias} if has_bias else stored
    hidden = random_matrix(3, shape[1])
    argument = ops.parameter([-1, shape[1]], ov.Type.f32)
    result = computed(linear(weights, "a", argument), argument, hidden)
    np.testing.assert_allclose(result, hidden @ meant.T + bias, atol=2e-3)


@pytest.mark.parametrize("weights_format", ["f32", "f16", "int8"])
def test_an_embedding_looks_up_what_is_stored(weights_format: str) -> None:
    stored = quantize("a", random_matrix(9, 16), weights_format)
    argument = ops.parameter([-1], ov.Type.i64)
    ids = np.array([8, 0, 8, 3], np.int64)
    result = computed(embed(stored, "a", argument), argument, ids)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, dequantized(stored)["a"][ids], rtol=1e-6)
