"""Graph nodes of linear layers and embeddings, for every stored format of their weights."""

from collections.abc import Mapping

import numpy as np
import openvino as ov
from openvino import opset13 as ops

from paceline.engine.graph.weights import Array

Node = ov.Node


def linear(weights: Mapping[str, Array], name: str, hidden: Node) -> Node:
    """Return hidden [T, num_inputs] times the transposed weight, plus `name.bias` where there is one."""
    product = ops.matmul(hidden, _decompressed(weights, name), transpose_a=False, transpose_b=True)
    bias = weights.get(f"{name}.bias")
    return product if bias is None else ops.add(product, ops.constant(np.asarray(bias).reshape(1, -1)))


def embed(weights: Mapping[str, Array], name: str, token_ids: Node) -> Node:
    """Return the embeddings of ids [T] as f32 [T, hidden_size].

    Rows are gathered before they are decompressed, so that the table is never expanded in memory.
    """
    axis = scalar(0, np.int32)
    if name in weights:
        return _as_f32(ops.gather(_constant(weights[name]), token_ids, axis))
    rows = ops.convert(ops.gather(_constant(weights[f"{name}.q"]), token_ids, axis), "f32")
    return ops.multiply(rows, _as_f32(ops.gather(_constant(weights[f"{name}.scale"]), token_ids, axis)))


def scalar(value: float, dtype: type[np.generic]) -> Node:
    """Return a constant of shape []."""
    return ops.constant(np.array(value, dtype))


def _decompressed(weights: Mapping[str, Array], name: str) -> Node:
    """The weight as the f32 expression that the CPU plugin recognises and keeps compressed."""
    if name in weights:
        return _as_f32(_constant(weights[name]))
    scale = _constant(weights[f"{name}.scale"])
    if f"{name}.zero" not in weights:
        return ops.convert(ops.multiply(ops.convert(_constant(weights[f"{name}.q"]), "f16"), scale), "f32")
    num_outputs, num_groups, half_group = weights[f"{name}.q"].shape
    quantized = _int4(weights[f"{name}.q"], [num_outputs, num_groups, 2 * half_group])
    zero = _int4(weights[f"{name}.zero"], [num_outputs, num_groups, 1])
    shifted = ops.subtract(ops.convert(quantized, "f16"), ops.convert(zero, "f16"))
    flat = ops.constant(np.array([num_outputs, num_groups * 2 * half_group], np.int64))
    return ops.convert(ops.reshape(ops.multiply(shifted, scale), flat, special_zero=False), "f32")


def _constant(array: Array) -> Node:
    return ops.constant(array, shared_memory=True)


def _int4(packed: Array, shape: list[int]) -> Node:
    tensor = ov.Tensor(np.ascontiguousarray(packed).reshape(-1), ov.Shape(shape), ov.Type.u4)
    return ops.constant(tensor, shared_memory=True)


def _as_f32(node: Node) -> Node:
    return node if node.get_element_type() == ov.Type.f32 else ops.convert(node, "f32")
