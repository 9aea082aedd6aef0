"""One model of transformers with its paged KV cache: a batch in, logits out."""

from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel

from paceline.engine.batch import Batch
from paceline.engine.model_runner import count_blocks
from paceline.engine.pytorch.attention import BLOCKS_PER_STRIDE, ChunkAttention, PagedAttention, TileAttention
from paceline.engine.pytorch.chooser import DeviceChooser
from paceline.engine.pytorch.kv_cache import BLOCK_SIZE, KvCache, KvShape
from paceline.engine.pytorch.layout import Chunks, PassRows, Tile, chunks, tiles
from paceline.engine.pytorch.loading import LoadedModel
from paceline.engine.pytorch.logits import TorchLogits


@dataclass(frozen=True)
class TorchRunnerConfig:
    """How a model is run.

    Attributes:
        device: Where its weights are.
        kv_dtype: Of the KV cache.
        kv_cache_bytes: Memory for the KV cache.
        tile_rows: Rows of every forward; None takes batches in the shapes in which they come, faster for prompts and
            not batch-invariant.
    """

    device: torch.device
    kv_dtype: torch.dtype
    kv_cache_bytes: int
    tile_rows: int | None


class TorchRunner:
    """Owns the model and the KV memory; see `paceline.engine.model_runner.ModelRunner`.

    With `tile_rows`, a pass is a row of forwards of that one shape, so that the library computes each row by the same
    kernels in the same order whatever else is in the pass. A tile that is not full costs as much as one that is: next
    to nothing on a device that waits for its weights, and much on a CPU.
    """

    def __init__(self, loaded: LoadedModel, config: TorchRunnerConfig) -> None:
        """Allocate the cache; raises BlocksExhaustedError where the memory holds no useful one."""
        self._model: PreTrainedModel = loaded.model
        self._vocabulary_size = loaded.shape.vocabulary_size
        self._config = config
        held = loaded.shape
        shape = KvShape(held.num_layers, held.num_kv_heads, held.head_size, config.kv_dtype)
        self.block_size = BLOCK_SIZE
        self.kv_bytes_per_token = shape.bytes_per_token
        self.num_blocks = count_blocks(config.kv_cache_bytes, BLOCK_SIZE * shape.bytes_per_token)
        self.least_rows = 1  # tiles are filled up here
        self._cache = KvCache(shape, self.num_blocks, config.device)
        # On CPUs the host's own way of choosing is several times as fast.
        self._chooser = DeviceChooser(config.device) if config.device.type != "cpu" else None

    @torch.inference_mode()
    def forward(self, batch: Batch) -> TorchLogits:
        """Run one pass; the logits are [batch.num_logits, vocab_size]."""
        if self._config.tile_rows is None:
            logits = self._run_chunks(chunks(batch, self._config.device))
        else:
            logits = self._run_tiles(batch, self._config.tile_rows)
        if self._config.device.type == "cuda":
            torch.cuda.synchronize(self._config.device)  # so that a pass takes as long as it is said to
        return TorchLogits(logits, self._chooser)

    @torch.inference_mode()
    def copy_block(self, source: int, destination: int) -> None:
        """Copy the KV of one block over another's, in all layers."""
        self._cache.copy_block(source, destination)

    def _run_tiles(self, batch: Batch, tile_rows: int) -> Tensor:
        cut = tiles(batch, tile_rows, BLOCKS_PER_STRIDE, self._config.device)
        logits = [self._run_tile(tile) for tile in cut]
        return torch.cat(logits) if len(logits) > 1 else logits[0]

    def _run_tile(self, tile: Tile) -> Tensor:
        attention = TileAttention(self._cache, tile)
        wanted = tile.logit_rows if tile.num_logits else None
        return self._logits(tile, attention, wanted)[: tile.num_logits]

    def _run_chunks(self, laid_out: Chunks) -> Tensor:
        attention = ChunkAttention(self._cache, laid_out)
        wanted = laid_out.logit_rows if len(laid_out.logit_rows) else None
        return self._logits(laid_out, attention, wanted)

    def _logits(self, rows: PassRows, attention: PagedAttention, wanted: Tensor | None) -> Tensor:
        """Run the model, and its head where any row wants logits [len(wanted), vocab_size]."""
        inputs = {
            "input_ids": rows.token_ids.unsqueeze(0),
            "position_ids": rows.positions.unsqueeze(0),
            "use_cache": False,
            "paged": attention,
        }
        if wanted is None:
            self._model.base_model(**inputs)
            return torch.empty(0, self._vocabulary_size, device=self._config.device)
        return self._model(**inputs, logits_to_keep=wanted).logits[0].float()
