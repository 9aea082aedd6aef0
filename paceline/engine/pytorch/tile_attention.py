"""Which attention the rows of tiles get."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import structlog
import torch

from paceline.engine.config import AttentionKind
from paceline.engine.pytorch.attention import BLOCKS_PER_STRIDE, PagedAttention, StridedAttention
from paceline.engine.pytorch.flex_attention import FlexAttention
from paceline.engine.pytorch.kv_cache import KeysValues, KvCache
from paceline.engine.pytorch.layout import NUM_FACTS, Tile
from paceline.engine.pytorch.library_errors import reason_of
from paceline.engine.pytorch.tile_forwards import doubling_widths
from paceline.errors import ConfigError

_log = structlog.get_logger()

# Wider tables walk so many strides in each layer that a graph of them would be too large: 32 strides are 4,096 tokens.
_MOST_CAPTURED_STRIDES = 32


@dataclass(frozen=True)
class TileAttention:
    """An attention for tiles.

    Attributes:
        name: "flex" or "strides".
        begin: Begins a forward of one tile.
        standing_widths: Widths of block tables, in ascending order, at which a tile lies where the last one lay. Wider
            ones come as they are.
        captured_widths: Those, where forwards are captured.
    """

    name: str
    begin: Callable[[Tile], PagedAttention]
    standing_widths: tuple[int, ...]
    captured_widths: tuple[int, ...]


@dataclass(frozen=True)
class Trial:
    """What an attention is tried with before it is chosen: the shapes of every forward.

    Attributes:
        num_rows: Rows of a tile.
        num_heads: Query heads.
        dtype: Of the computation.
        scaling: What scores are multiplied by.
        device: Where it computes.
    """

    num_rows: int
    num_heads: int
    dtype: torch.dtype
    scaling: float
    device: torch.device


def choose_attention(wanted: AttentionKind, cache: KvCache, trial: Trial) -> TileAttention:
    """Return the attention for tiles; "auto" is "flex" on CUDA devices that run it, else "strides".

    Takes seconds where "flex" has to be compiled. Raises ConfigError where "flex" is demanded and does not run.
    """
    if wanted == "strides" or (wanted == "auto" and trial.device.type == "cpu"):
        return _strided(cache)
    try:
        _try_flex(cache, trial)
    except Exception as error:  # whatever the compilers and the device raise
        reason = reason_of(error)
        if wanted == "flex":
            message = (
                f"FlexAttention does not run here ({reason}). It needs a C++ compiler, on CUDA devices Triton too, and "
                'a KV cache in the precision of the computation on CPUs. Choose attention "strides" or "auto".'
            )
            raise ConfigError(message, setting="attention") from error
        message = (
            f"FlexAttention does not run here ({reason}), so that attention copies each row's blocks before it reads "
            "them, which takes longer behind long contexts."
        )
        _log.warning("attention_strides_in_place_of_flex", message=message)
        return _strided(cache)
    width = _whole_width(cache)
    return TileAttention("flex", partial(FlexAttention, cache), (width,), (width,))


def _whole_width(cache: KvCache) -> int:
    """Return the width of tables that hold the whole cache, in whole strides, as tiles are cut."""
    return -(-cache.num_blocks // BLOCKS_PER_STRIDE) * BLOCKS_PER_STRIDE


def _strided(cache: KvCache) -> TileAttention:
    widths = doubling_widths(
        BLOCKS_PER_STRIDE, min(cache.num_blocks, _MOST_CAPTURED_STRIDES * BLOCKS_PER_STRIDE)
    )
    return TileAttention("strides", partial(StridedAttention, cache), (), widths)


@torch.inference_mode()
def _try_flex(cache: KvCache, trial: Trial) -> None:
    """Compile it and run it once, over rows of the padding block: without the model, whose processes may meet in it."""
    shape = cache.shape
    width = NUM_FACTS + _whole_width(cache)
    facts = torch.zeros(trial.num_rows, width, dtype=torch.int64, device=trial.device)
    query, own = (
        torch.zeros(trial.num_rows, heads, shape.head_size, dtype=trial.dtype, device=trial.device)
        for heads in (trial.num_heads, shape.num_heads)
    )
    FlexAttention(cache, Tile.of(facts, 0)).attend(0, query, KeysValues(own, own), trial.scaling)
    if trial.device.type == "cuda":
        torch.cuda.synchronize(trial.device)  # a kernel that fails says so here
