"""The weights of a model as a prepared directory stores them."""

from paceline.engine.graph.weights import FAST_HEAD, Array, FloatArray, quantize


def stored_weight(
    name: str, values: FloatArray, weights: str, *, is_table: bool, is_head: bool
) -> dict[str, Array]:
    """Return the tensors of one matrix [num_outputs, num_inputs].

    `is_table` says that it is an embedding or a head: in int4 they stay int8, since gathering packed values is not
    supported and the head decides between close logits. `is_head`: in int4 it is there once more, for drafts.
    """
    stored = quantize(name, values, "int8" if weights == "int4" and is_table else weights)
    if weights == "int4" and is_head:
        stored |= quantize(FAST_HEAD, values, "int4")
    return stored
