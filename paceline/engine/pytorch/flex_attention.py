"""Attention of a tile by PyTorch's FlexAttention, compiled: it reads each row's blocks where they lie."""

from functools import cache
from typing import Any, Protocol, cast

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, flex_attention
from torch.nn.functional import pad

from paceline.engine.pytorch.kv_cache import BLOCK_SIZE, KeysValues, KvCache
from paceline.engine.pytorch.layout import Tile

# The kernel for short queries cuts each row's blocks into so many parts, which are computed side by side and added up
# afterwards. PyTorch's default depends on the number of heads and on the device: 1 with 64 rows of 8 heads. Seven are
# the most that Inductor adds up in a written order (`unroll_reductions_threshold`).
_NUM_PARTS = 7
_KERNEL_OPTIONS: dict[str, dict[str, Any]] = {
    # Refused where that kernel cannot be used, in place of taking one that reads the blocks once for each query head.
    "cuda": {"BACKEND": "TRITON_DECODE", "SPLIT_KV": _NUM_PARTS},
    # Inductor's other kernel for CPUs cuts the cache by places, so that bits would depend on which blocks a row has. It
    # is taken only where blocks divide this.
    "cpu": {"PARTITION_SIZE": 1},
}
# Rows of a block mask; a power of two that no group of query heads exceeds. Each of our queries has one row.
_QUERY_BLOCK_SIZE = 128


class _Kernel(Protocol):
    def __call__(
        self,
        query: Tensor,
        keys: Tensor,
        values: Tensor,
        *,
        block_mask: BlockMask,
        scale: float,
        enable_gqa: bool,
        kernel_options: dict[str, Any],
    ) -> Tensor: ...


class FlexAttention:
    """Attention whose every row is computed alike, whatever else is in the tile: a row is a batch entry of its own.

    The kernel walks a row's blocks in the order of its table, and all of it but the blocks themselves is fixed: the
    rows of the tile, the heads, the blocks of the whole cache, the width of the tables (which hold that many; what is
    behind a row's last block decides nothing), and into how many parts a row is cut. How long a part is follows from
    the row's own number of blocks (flex_decode.py.jinja: `kv_num_blocks` over SPLIT_KV, where there are no "full"
    blocks; on CPUs there are no parts). A part of no blocks weighs nothing, its maximum being minus infinity. So a
    row's bits are its own, and there is one kernel for all tiles.

    One mask serves all layers. Only a row's last block holds tokens behind it, so that no table from blocks to
    positions is needed: of the block that the row's slot is in, slots up to it are seen, and all of every other.
    """

    def __init__(self, cache: KvCache, tile: Tile) -> None:
        """Take a tile whose tables are at least as wide as the cache has blocks."""
        assert tile.tables.shape[1] >= cache.num_blocks
        self._cache = cache
        self._tile = tile
        self._mask = _block_mask(tile, cache.num_blocks)
        self._options = _KERNEL_OPTIONS[tile.facts.device.type]

    def attend(self, layer: int, query: Tensor, tokens: KeysValues, scaling: float) -> Tensor:
        """See `PagedAttention`."""
        self._cache.write(layer, self._tile.slots, tokens)
        num_kv_heads = tokens.keys.shape[1]
        keys, values = self._cache.slots(layer)
        num_rows, num_heads, head_size = query.shape
        grouped = query.reshape(num_rows, num_kv_heads, num_heads // num_kv_heads, head_size)
        filled = _filled_up(grouped)
        attended = _kernel()(
            filled.flatten(1, 2).unsqueeze(2),
            keys.unsqueeze(0),
            values.unsqueeze(0),
            block_mask=self._mask,
            scale=scaling,
            enable_gqa=filled.shape[2] > 1,
            kernel_options=self._options,
        )
        own = attended.reshape(filled.shape)[:, :, : grouped.shape[2]]
        return own.reshape(num_rows, num_heads, head_size)


@cache
def _kernel() -> _Kernel:
    """Return the kernel of this process, which is compiled where it is called first: for each new shape, in seconds."""
    # In this process: there is one kernel to compile, and a service is to have no children that outlive a signal.
    compiled = torch.compile(flex_attention, dynamic=False, fullgraph=True, options={"compile_threads": 1})
    return cast("_Kernel", compiled)


def _block_mask(tile: Tile, num_blocks: int) -> BlockMask:
    num_rows, width = tile.tables.shape
    slots = tile.slots.contiguous()

    def is_seen(row: Tensor, _head: Tensor, _query: Tensor, slot: Tensor) -> Tensor:
        return (slot <= slots[row]) | (slot // BLOCK_SIZE != slots[row] // BLOCK_SIZE)

    num_own_blocks = (tile.positions // BLOCK_SIZE + 1).to(torch.int32)
    return BlockMask.from_kv_blocks(
        num_own_blocks.view(num_rows, 1, 1),
        tile.tables.to(torch.int32).view(num_rows, 1, 1, width),
        BLOCK_SIZE=(_QUERY_BLOCK_SIZE, BLOCK_SIZE),
        mask_mod=is_seen,
        seq_lengths=(1, num_blocks * BLOCK_SIZE),
        compute_q_blocks=False,  # of the backward pass
    )


def _filled_up(grouped: Tensor) -> Tensor:
    """Fill groups of query heads up to a power of two, which the kernel for short queries wants; they are contiguous.

    [rows, kv heads, group, head_size], zeros behind a group: Qwen2.5-7B's groups of 7 become 8.
    """
    group = grouped.shape[2]
    num_missing = (1 << (group - 1).bit_length()) - group
    return pad(grouped, (0, 0, 0, num_missing)).contiguous()
