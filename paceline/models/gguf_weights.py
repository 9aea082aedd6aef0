"""A GGUF file's weights as our graph wants them: f32, Hugging Face's head order."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from gguf import GGMLQuantizationType
from gguf.constants import GGML_QUANT_SIZES
from gguf.quants import dequantize

from paceline.engine.errors import UnsupportedModelError
from paceline.engine.graph.architecture import Architecture
from paceline.engine.graph.weights import FloatArray
from paceline.models.gguf_file import GgufFile, GgufTensor, read_gguf

EMBEDDING, HEAD = "token_embd", "output"
WEIGHT_SUFFIX = ".weight"
# Computed from the architecture instead.
DERIVED_TENSORS = ("rope_freqs.weight",)


class GgufWeights:
    """One GGUF file: its architecture and its tensors, dequantised one at a time."""

    def __init__(self, path: Path) -> None:
        self.file = read_gguf(path)
        self.architecture = _architecture(self.file)
        self._data = np.memmap(path, np.uint8, "r")

    def tensors(self) -> Iterator[GgufTensor]:
        """Yield the tensors that the graph uses."""
        yield from (tensor for tensor in self.file.tensors if tensor.name not in DERIVED_TENSORS)

    def load(self, tensor: GgufTensor) -> FloatArray:
        """Return one tensor as f32, [num_outputs, num_inputs] or a vector; safe to call from several threads."""
        kind = GGMLQuantizationType(tensor.type_id)
        values = _dequantized(self._data[tensor.offset :], tensor, kind)
        return self._in_halves_order(tensor.name, values)

    def _in_halves_order(self, name: str, values: FloatArray) -> FloatArray:
        """Undo llama.cpp's reordering of query and key rows, which interleaves the halves of a rotary pair."""
        num_heads = {
            "attn_q": self.architecture.num_heads,
            "attn_k": self.architecture.num_kv_heads,
        }.get(name.split(".")[-2])
        if num_heads is None or self.architecture.family != "llama":
            return values
        pairs = values.reshape(num_heads, -1, 2, *values.shape[1:])
        return np.ascontiguousarray(pairs.swapaxes(1, 2)).reshape(values.shape)


def _dequantized(data: np.ndarray, tensor: GgufTensor, kind: GGMLQuantizationType) -> FloatArray:
    block_size, bytes_a_block = GGML_QUANT_SIZES[kind]
    num_values = int(np.prod(tensor.shape))
    rows = data[: num_values // block_size * bytes_a_block].reshape(
        tensor.shape[0] if len(tensor.shape) > 1 else 1, -1
    )
    if kind in {GGMLQuantizationType.F32, GGMLQuantizationType.F16}:
        rows = rows.view(np.float32 if kind == GGMLQuantizationType.F32 else np.float16)
    try:
        return dequantize(rows, kind).astype(np.float32, copy=False).reshape(tensor.shape)
    except NotImplementedError as error:
        message = (
            f"The tensor {tensor.name} is quantised as {kind.name}, which cannot be read; use another file."
        )
        raise UnsupportedModelError(message, tensor=tensor.name) from error


def _architecture(file: GgufFile) -> Architecture:
    family = str(file.metadata.get("general.architecture", "unknown"))
    shapes = {tensor.name: tensor.shape for tensor in file.tensors}

    def number(key: str, default: float | None = None) -> float:
        value = file.metadata.get(f"{family}.{key}", default)
        if not isinstance(value, int | float):
            raise UnsupportedModelError(f"The GGUF file states no {family}.{key}.", path=str(file.path))
        return value

    num_heads, hidden_size = int(number("attention.head_count")), int(number("embedding_length"))
    _require_plain_rope(file, family)
    return Architecture(
        family=family,
        num_layers=int(number("block_count")),
        hidden_size=hidden_size,
        num_heads=num_heads,
        num_kv_heads=int(number("attention.head_count_kv", num_heads)),
        head_size=int(number("attention.key_length", hidden_size // num_heads)),
        vocabulary_size=shapes[EMBEDDING + WEIGHT_SUFFIX][0],
        rope_theta=float(number("rope.freq_base", 10000.0)),
        norm_epsilon=float(number("attention.layer_norm_rms_epsilon")),
        max_context_tokens=int(number("context_length")),
        has_tied_head=HEAD + WEIGHT_SUFFIX not in shapes,
    )


def _require_plain_rope(file: GgufFile, family: str) -> None:
    scaling = file.metadata.get(f"{family}.rope.scaling.type", "none")
    if scaling != "none" or any(tensor.name in DERIVED_TENSORS for tensor in file.tensors):
        message = "This model scales its rotary embedding, which is not supported yet."
        raise UnsupportedModelError(message, path=str(file.path), scaling=str(scaling))
