"""Builds the OpenVINO graph of a Llama or Qwen2 model with paged attention, from its weights alone.

One row of the graph is one token of one sequence. Inputs, T rows of S subsequences, R of them with logits:

    input_ids, position_ids                  [T]  i64
    past_lens                                [S]  i32   cached tokens before each subsequence
    subsequence_begins                       [S + 1] i32
    block_indices, block_indices_begins      [*], [S + 1] i32
    max_context_len                          []   i32
    logit_rows                               [R]  i32   rows that get logits
    key_cache.N, value_cache.N               [num_blocks, num_kv_heads, block_size, head_size]

Output: logits [R, vocabulary_size] f32. The paged attention follows OpenVINO's PagedAttentionExtension
(docs: openvino_docs_ops_internal_PagedAttention), which writes the keys and values of all rows before it reads any.
"""

from collections.abc import Mapping

import numpy as np
import openvino as ov
from openvino import opset13 as ops
from openvino.op import _PagedAttentionExtension as PagedAttention  # pyright: ignore[reportAttributeAccessIssue]

from paceline.engine.graph.architecture import Architecture
from paceline.engine.graph.linear import embed, linear, scalar
from paceline.engine.graph.weights import Array

Node = ov.Node
Weights = Mapping[str, Array]

ROW_INPUTS = {
    "input_ids": ([-1], ov.Type.i64),
    "position_ids": ([-1], ov.Type.i64),
    "past_lens": ([-1], ov.Type.i32),
    "subsequence_begins": ([-1], ov.Type.i32),
    "block_indices": ([-1], ov.Type.i32),
    "block_indices_begins": ([-1], ov.Type.i32),
    "max_context_len": ([], ov.Type.i32),
    "logit_rows": ([-1], ov.Type.i32),
}


def build_graph(architecture: Architecture, weights: Weights, head: str | None = None) -> ov.Model:
    """Return the graph; constants share the memory of `weights`.

    `head` names the weights of the output projection where the model's own are not to be used. Raises KeyError where a
    tensor of the architecture is missing.
    """
    inputs = {name: named_parameter(name, shape, dtype) for name, (shape, dtype) in ROW_INPUTS.items()}
    rotary = _Rotary(architecture, inputs["position_ids"])
    hidden = embed(weights, "token_embd", inputs["input_ids"])
    caches: list[Node] = []
    for layer in range(architecture.num_layers):
        cache = [
            named_parameter(f"{kind}_cache.{layer}", [-1] * 4, ov.Type.dynamic) for kind in ("key", "value")
        ]
        hidden = _block(_Layer(architecture, weights, f"blk.{layer}"), hidden, inputs, cache, rotary)
        caches += cache
    chosen = ops.gather(hidden, inputs["logit_rows"], scalar(0, np.int32))
    logits = linear(
        weights, head or head_name(architecture), _norm(architecture, weights, "output_norm", chosen)
    )
    logits.output(0).get_tensor().set_names({"logits"})
    # openvino's own type stubs disagree about the class of a model.
    return ov.Model([ops.result(logits)], [*inputs.values(), *caches], architecture.family)  # pyright: ignore[reportGeneralTypeIssues]


def head_name(architecture: Architecture) -> str:
    """Return the name of the output projection's weights."""
    return "token_embd" if architecture.has_tied_head else "output"


def named_parameter(name: str, shape: list[int], dtype: ov.Type) -> Node:
    """Return a graph input whose tensor bears `name`."""
    parameter = ops.parameter(shape, dtype, name)
    parameter.output(0).get_tensor().set_names({name})
    return parameter


class _Layer:
    """One transformer block's weights by their short names."""

    def __init__(self, architecture: Architecture, weights: Weights, prefix: str) -> None:
        self.architecture = architecture
        self.weights = weights
        self.prefix = prefix

    def linear(self, name: str, hidden: Node) -> Node:
        return linear(self.weights, f"{self.prefix}.{name}", hidden)

    def norm(self, name: str, hidden: Node) -> Node:
        return _norm(self.architecture, self.weights, f"{self.prefix}.{name}", hidden)


class _Rotary:
    """Rotary position embedding, halves rotated as in transformers' Llama (not interleaved as in llama.cpp's)."""

    def __init__(self, architecture: Architecture, position_ids: Node) -> None:
        self.head_size = architecture.head_size
        exponents = np.arange(0, self.head_size, 2, dtype=np.float64) / self.head_size
        frequencies = (1.0 / architecture.rope_theta**exponents).astype(np.float32)
        positions = ops.unsqueeze(ops.convert(position_ids, "f32"), scalar(1, np.int32))
        half = ops.multiply(positions, ops.constant(frequencies.reshape(1, -1)))
        angles = ops.unsqueeze(ops.concat([half, half], -1), scalar(1, np.int32))  # [T, 1, head_size]
        self.cosine, self.sine = ops.cos(angles), ops.sin(angles)

    def turn(self, heads: Node, num_heads: int) -> Node:
        """[T, num_heads * head_size] in and out."""
        split = ops.reshape(heads, _shape(-1, num_heads, self.head_size), special_zero=False)
        first, second = (
            self._slice(split, 0, self.head_size // 2),
            self._slice(split, self.head_size // 2, self.head_size),
        )
        rotated = ops.concat([ops.multiply(second, scalar(-1, np.float32)), first], -1)
        turned = ops.add(ops.multiply(split, self.cosine), ops.multiply(rotated, self.sine))
        return ops.reshape(turned, _shape(-1, num_heads * self.head_size), special_zero=False)

    @staticmethod
    def _slice(heads: Node, start: int, stop: int) -> Node:
        return ops.slice(heads, _shape(start), _shape(stop), _shape(1), _shape(2))


def _block(
    layer: _Layer, hidden: Node, inputs: Mapping[str, Node], cache: list[Node], rotary: _Rotary
) -> Node:
    attended = _attention(layer, layer.norm("attn_norm", hidden), inputs, cache, rotary)
    hidden = ops.add(hidden, layer.linear("attn_output", attended))
    normed = layer.norm("ffn_norm", hidden)
    gated = ops.multiply(ops.swish(layer.linear("ffn_gate", normed)), layer.linear("ffn_up", normed))
    return ops.add(hidden, layer.linear("ffn_down", gated))


def _attention(
    layer: _Layer, hidden: Node, inputs: Mapping[str, Node], cache: list[Node], rotary: _Rotary
) -> Node:
    shape = layer.architecture
    query = rotary.turn(layer.linear("attn_q", hidden), shape.num_heads)
    key = rotary.turn(layer.linear("attn_k", hidden), shape.num_kv_heads)
    value = layer.linear("attn_v", hidden)
    attention = PagedAttention(
        [node.output(0) for node in _arguments(shape, [query, key, value], cache, inputs)]
    )
    facts = {
        "k_head_size": shape.head_size,
        "v_head_size": shape.head_size,
        "num_k_heads": shape.num_kv_heads,
        "num_v_heads": shape.num_kv_heads,
    }
    for name, fact in facts.items():
        attention.get_rt_info()[name] = fact
    return attention.output(0)


def _arguments(
    shape: Architecture, projections: list[Node], cache: list[Node], inputs: Mapping[str, Node]
) -> list[Node]:
    """The operation's 28 inputs, by position; what we do not use is empty or zero."""
    sequences = [
        inputs[name] for name in ("past_lens", "subsequence_begins", "block_indices", "block_indices_begins")
    ]
    scale, no_window = scalar(shape.head_size**-0.5, np.float32), scalar(0, np.int32)
    no_alibi, no_aggregation = _empty(np.float32), _empty(np.int32)
    no_rotation = [_empty(np.int32), _empty(np.int32), _empty(np.float32)]
    no_sparsity = [_empty(np.float32), scalar(0, np.int32), scalar(0, np.int32)]
    no_sinks = [_empty(np.float32)]
    no_eviction = [scalar(0, np.int32), _empty(np.int32), _empty(np.int32), _empty(np.int32)]
    no_bias = [_empty(np.int32), _empty(np.uint8), _empty(np.int32)]
    return [
        *projections, *cache, *sequences,
        scale, no_window, no_alibi, inputs["max_context_len"], no_aggregation,
        *no_rotation, *no_sparsity, *no_sinks, *no_eviction, *no_bias,
    ]  # fmt: skip


def _norm(architecture: Architecture, weights: Weights, name: str, hidden: Node) -> Node:
    mean_square = ops.reduce_mean(ops.power(hidden, scalar(2, np.float32)), _shape(-1), keep_dims=True)
    root = ops.sqrt(ops.add(mean_square, scalar(architecture.norm_epsilon, np.float32)))
    normed = ops.multiply(hidden, ops.divide(scalar(1, np.float32), root))
    return ops.multiply(normed, ops.constant(np.asarray(weights[name]).reshape(1, -1)))


def _shape(*sizes: int) -> Node:
    return ops.constant(np.array(sizes, np.int64))


def _empty(dtype: type[np.generic]) -> Node:
    return ops.constant(np.zeros((0,), dtype))
