"""What a leader has its followers do, as bytes: a kind, then arrays in the format of safetensors, or numbers."""

import struct

import numpy as np
from safetensors.numpy import load, save

from paceline.engine.batch import Batch
from paceline.engine.model_runner import ModelRunner

END = b"e"
_FORWARD, _COPY_BLOCK = b"f", b"c"
_BLOCKS = struct.Struct("<2I")
# Beside the batch's inputs.
_NUM_ROWS, _NUM_LOGITS = "num_rows", "num_logits"


def forward_order(batch: Batch) -> bytes:
    """Return the order to run one pass."""
    counts = {_NUM_ROWS: np.array(batch.num_rows), _NUM_LOGITS: np.array(batch.num_logits)}
    return _FORWARD + save({**batch.inputs, **counts})


def copy_block_order(source: int, destination: int) -> bytes:
    """Return the order to copy the KV of one block over another's."""
    return _COPY_BLOCK + _BLOCKS.pack(source, destination)


def carry_out(order: bytes, runner: ModelRunner) -> None:
    """Do what an order says; END is not for a runner."""
    kind, content = order[:1], order[1:]
    if kind == _FORWARD:
        runner.forward(_batch(content))
    elif kind == _COPY_BLOCK:
        runner.copy_block(*_BLOCKS.unpack(content))
    else:
        raise ValueError(f"there is no order of the kind {kind!r}")


def _batch(content: bytes) -> Batch:
    arrays = load(content)
    num_rows, num_logits = int(arrays.pop(_NUM_ROWS)), int(arrays.pop(_NUM_LOGITS))
    return Batch(dict(arrays), num_rows, num_logits)
