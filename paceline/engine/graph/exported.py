"""A graph that optimum-intel exported, turned into one with our inputs and outputs."""

from pathlib import Path

import numpy as np
import openvino as ov
from openvino import opset13 as ops
from openvino._offline_transformations import paged_attention_transformation

from paceline.engine.errors import UnsupportedModelError
from paceline.engine.graph.builder import named_parameter

PREFIX_OF_BUILT = "paceline"


def read_exported(path: Path) -> ov.Model:
    """Return a stateful exported graph with paged attention and logits for chosen rows.

    Raises UnsupportedModelError where the graph is not a decoder that OpenVINO's transformation knows.
    """
    model = ov.Core().read_model(path)
    try:
        paged_attention_transformation(model)
        _choose_logit_rows(model)
        _fix_cache_types(model)
    except RuntimeError as error:
        message = f"{path} cannot be turned into a paged graph: {error}"
        raise UnsupportedModelError(message, path=str(path)) from error
    return model


def _choose_logit_rows(model: ov.Model) -> None:
    """Gather the wanted rows in front of the head: prefill then computes no logits that nobody reads."""
    result = model.get_results()[0]
    head = result.input_value(0).get_node()
    while head.get_type_name() != "MatMul":
        head = head.input_value(0).get_node()
    rows = named_parameter("logit_rows", [-1], ov.Type.i32)
    hidden = head.input_value(0)
    axis = ops.constant(np.array(0, np.int32))
    head.input(0).replace_source_output(ops.gather(hidden, rows, axis).output(0))
    model.add_parameters([rows])
    width = head.input_value(1).get_partial_shape()
    del width
    flat = ops.reshape(result.input_value(0), ops.constant(np.array([0, -1], np.int64)), special_zero=True)
    result.input(0).replace_source_output(flat.output(0))
    flat.output(0).get_tensor().set_names({"logits"})
    model.validate_nodes_and_infer_types()


def _fix_cache_types(model: ov.Model) -> None:
    """Nothing is pinned: the plugin chooses layout and type of the caches from KV_CACHE_PRECISION."""
    model.validate_nodes_and_infer_types()
