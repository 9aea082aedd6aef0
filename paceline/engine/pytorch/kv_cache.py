"""The blocks of the KV cache on the device."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

# As OpenVINO's on CPUs, so that the same sessions share the same prefixes.
BLOCK_SIZE = 32


class KeysValues(NamedTuple):
    """Keys and values of the same tokens."""

    keys: Tensor
    values: Tensor


@dataclass(frozen=True)
class KvShape:
    """What a token leaves behind.

    Attributes:
        num_layers: Transformer blocks.
        num_heads: Key and value heads of a layer.
        head_size: Width of one head.
        dtype: Of the stored numbers.
    """

    num_layers: int
    num_heads: int
    head_size: int
    dtype: torch.dtype

    @property
    def bytes_per_token(self) -> int:
        """Bytes of keys and values, all layers."""
        return 2 * self.num_layers * self.num_heads * self.head_size * self.dtype.itemsize


class KvCache:
    """Keys and values of all layers, [num_blocks, BLOCK_SIZE, num_heads, head_size] each.

    A slot is a token's place: block * BLOCK_SIZE + its place in the block.

    Attributes:
        shape: What each token leaves in it.
        num_blocks: Blocks, the padding block included.
    """

    def __init__(self, shape: KvShape, num_blocks: int, device: torch.device) -> None:
        """Allocate zeros: what was never written is read beside what was, and must not be NaN."""
        self.shape = shape
        self.num_blocks = num_blocks
        sizes = (num_blocks, BLOCK_SIZE, shape.num_heads, shape.head_size)
        self._layers = [
            KeysValues(
                torch.zeros(sizes, dtype=shape.dtype, device=device),
                torch.zeros(sizes, dtype=shape.dtype, device=device),
            )
            for _ in range(shape.num_layers)
        ]

    def write(self, layer: int, slots: Tensor, tokens: KeysValues) -> None:
        """Store keys and values [num_rows, num_heads, head_size] of the rows that own `slots` [num_rows]."""
        for memory, rows in zip(self._layers[layer], tokens, strict=True):
            memory.flatten(0, 1).index_copy_(0, slots, rows.to(memory.dtype))

    def read(self, layer: int, tables: Tensor) -> KeysValues:
        """Gather the blocks of tables [num_tables, width]: [num_tables, width * BLOCK_SIZE, num_heads, head_size]."""
        keys, values = self._layers[layer]
        return KeysValues(keys[tables].flatten(1, 2), values[tables].flatten(1, 2))

    def slots(self, layer: int) -> KeysValues:
        """Return a layer's keys and values by slots, where they lie: [num_heads, num_slots, head_size]."""
        keys, values = self._layers[layer]
        return KeysValues(keys.flatten(0, 1).transpose(0, 1), values.flatten(0, 1).transpose(0, 1))

    def copy_block(self, source: int, destination: int) -> None:
        """Copy one block over another, in all layers."""
        for layer in self._layers:
            for memory in layer:
                memory[destination].copy_(memory[source])
