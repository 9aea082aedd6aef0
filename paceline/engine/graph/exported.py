"""A graph that optimum-intel exported, turned into one with our inputs and outputs."""

from pathlib import Path

import numpy as np
import openvino as ov
from openvino import opset13 as ops
from openvino._offline_transformations import paged_attention_transformation

from paceline.engine.errors import UnsupportedModelError
from paceline.engine.graph.builder import ROW_INPUTS, named_parameter
from paceline.engine.graph.linear import scalar


def read_exported(path: Path) -> ov.Model:
    """Return a stateful exported graph with paged attention and logits for chosen rows.

    Raises UnsupportedModelError where the file is missing or no decoder that OpenVINO's transformation knows.
    """
    try:
        model = ov.Core().read_model(path)
        paged_attention_transformation(model)
        _choose_logit_rows(model)
    except RuntimeError as error:
        message = f"{path} cannot be turned into a paged graph: {error}"
        raise UnsupportedModelError(message, path=str(path)) from error
    return model


def _choose_logit_rows(model: ov.Model) -> None:
    """Gather the wanted rows in front of the head: prefill then computes no logits that nobody reads."""
    result = model.get_results()[0]
    head = _head(result)
    rows = named_parameter("logit_rows", *ROW_INPUTS["logit_rows"])
    model.add_parameters([rows])
    hidden = head.input_value(0)  # [T, 1, hidden_size]
    head.input(0).replace_source_output(ops.gather(hidden, rows, scalar(0, np.int32)).output(0))
    logits = result.input_value(0)
    flat = ops.squeeze(logits, scalar(1, np.int64)).output(0)
    logits.get_tensor().set_names(set())
    flat.get_tensor().set_names({"logits"})
    result.input(0).replace_source_output(flat)
    model.validate_nodes_and_infer_types()


def _head(result: ov.Node) -> ov.Node:
    """The output projection: the last multiplication on the way to the result."""
    node = result
    while node.get_type_name() != "MatMul":
        node = node.input_value(0).get_node()
    return node
