"""Attention over the paged cache, as transformers' models call it.

transformers calls a registered function with each layer's queries, keys and values, and hands on what the caller of the
model gave besides (https://huggingface.co/docs/transformers/attention_interface): here `paged`, which knows the rows of
the pass. Keys and values of all rows are written before any are read, so that rows of one sequence may meet in a pass.
"""

from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface

from paceline.engine.pytorch.kv_cache import BLOCK_SIZE, KeysValues, KvCache
from paceline.engine.pytorch.layout import Chunks, Tile

ATTENTION_NAME = "paceline_paged"
# So many blocks of each row's table are read at a time.
BLOCKS_PER_STRIDE = 4


class PagedAttention(Protocol):
    """Attention of one pass."""

    def attend(self, layer: int, query: Tensor, tokens: KeysValues, scaling: float) -> Tensor:
        """Return [num_rows, num_heads, head_size] for queries of this shape and the rows' own keys and values."""
        ...


class StridedAttention:
    """Attention whose every row is computed alike, whatever else is in the tile, in PyTorch's plain operations.

    It runs everywhere, and copies each row's blocks before it reads them. All shapes are those of the tile, and the
    cache is walked in strides of fixed size with a running maximum and sum (Milakov and Gimelshein, arXiv 1805.02867).
    A stride behind a row's end changes nothing of it, to the last bit: it multiplies by one and adds zero. So neither
    the other rows nor the longest of them can be told from a row's bits.
    """

    def __init__(self, cache: KvCache, tile: Tile) -> None:
        self._cache = cache
        self._tile = tile

    def attend(self, layer: int, query: Tensor, tokens: KeysValues, scaling: float) -> Tensor:
        """See `PagedAttention`."""
        tile = self._tile
        self._cache.write(layer, tile.slots, tokens)
        num_rows, num_heads, head_size = query.shape
        num_kv_heads = tokens.keys.shape[1]
        grouped = query.reshape(num_rows, num_kv_heads, num_heads // num_kv_heads, head_size)
        running = _Running(grouped)
        for first in range(0, tile.tables.shape[1], BLOCKS_PER_STRIDE):
            past = self._cache.read(layer, tile.tables[:, first : first + BLOCKS_PER_STRIDE])
            keys, values = (
                one.to(query.dtype).transpose(1, 2) for one in past
            )  # [rows, kv heads, stride, size]
            scores = torch.matmul(grouped, keys.transpose(2, 3)).float() * scaling
            at = first * BLOCK_SIZE + torch.arange(keys.shape[2], device=query.device)
            is_later = at[None, :] > tile.positions[:, None]
            running.take(scores.masked_fill(is_later[:, None, None, :], -torch.inf), values)
        return running.attended.to(query.dtype).reshape(num_rows, num_heads, head_size)


class _Running:
    """The softmax of the scores so far, and the values that it weighs."""

    def __init__(self, grouped: Tensor) -> None:
        self._maximum = torch.full_like(grouped[..., :1], -torch.inf, dtype=torch.float32)
        self._total = torch.zeros_like(self._maximum)
        self._weighed = torch.zeros_like(grouped, dtype=torch.float32)

    def take(self, scores: Tensor, values: Tensor) -> None:
        """Take in scores [rows, kv heads, group, stride] and values [rows, kv heads, stride, head_size]."""
        # The first stride holds position 0, which every row sees, so that no maximum stays infinite.
        maximum = torch.maximum(self._maximum, scores.amax(dim=-1, keepdim=True))
        weights, fading = torch.exp(scores - maximum), torch.exp(self._maximum - maximum)
        self._total = self._total * fading + weights.sum(dim=-1, keepdim=True)
        self._weighed = self._weighed * fading + torch.matmul(weights.to(values.dtype), values).float()
        self._maximum = maximum

    @property
    def attended(self) -> Tensor:
        return self._weighed / self._total


class ChunkAttention:
    """Attention by PyTorch's scaled_dot_product_attention, in whatever shapes the pass has: not batch-invariant."""

    def __init__(self, cache: KvCache, chunks: Chunks) -> None:
        self._cache = cache
        self._chunks = chunks

    def attend(self, layer: int, query: Tensor, tokens: KeysValues, scaling: float) -> Tensor:
        """See `PagedAttention`."""
        chunks = self._chunks
        self._cache.write(layer, chunks.slots, tokens)
        past = self._cache.read(layer, chunks.tables)
        keys, values = (one.to(query.dtype).transpose(1, 2) for one in past)
        at = torch.arange(keys.shape[2], device=query.device)
        is_seen = at[None, None, :] <= chunks.positions[chunks.rows][:, :, None]
        attended = scaled_dot_product_attention(
            query[chunks.rows].transpose(1, 2),
            keys,
            values,
            attn_mask=is_seen[:, None],
            scale=scaling,
            enable_gqa=query.shape[1] != keys.shape[1],
        )
        return attended.transpose(1, 2)[chunks.chunk_of_row, chunks.place_of_row]


def _paged_attention(
    module: nn.Module,
    query: Tensor,  # [1, num_heads, num_rows, head_size]
    key: Tensor,  # [1, num_kv_heads, num_rows, head_size]
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    *,
    paged: PagedAttention,
    **_: Any,
) -> tuple[Tensor, None]:
    """Bridge: one "sentence" of rows of many sequences, which `paged` tells apart."""
    assert attention_mask is None
    layer = module.layer_idx
    assert isinstance(layer, int)
    factor = query.shape[-1] ** -0.5 if scaling is None else scaling
    rows = [one[0].transpose(0, 1) for one in (query, key, value)]
    attended = paged.attend(layer, rows[0], KeysValues(rows[1], rows[2]), factor)
    return attended.unsqueeze(0), None


AttentionInterface.register(ATTENTION_NAME, _paged_attention)
