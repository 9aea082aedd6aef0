"""One model of transformers with its paged KV cache: a batch in, logits out."""

from dataclasses import dataclass

import torch
from torch import Tensor

from paceline.engine.batch import Batch
from paceline.engine.config import AttentionKind
from paceline.engine.model_runner import count_blocks
from paceline.engine.pytorch.attention import ChunkAttention
from paceline.engine.pytorch.chooser import DeviceChooser
from paceline.engine.pytorch.exact_passes import ExactPasses
from paceline.engine.pytorch.graphs import Capture
from paceline.engine.pytorch.kv_cache import BLOCK_SIZE, KvCache, KvShape
from paceline.engine.pytorch.layout import chunks
from paceline.engine.pytorch.loading import LoadedModel
from paceline.engine.pytorch.logits import TorchLogits
from paceline.engine.pytorch.paged_model import PagedModel
from paceline.engine.pytorch.rotations import keep_rotations
from paceline.engine.pytorch.shape import ModelShape
from paceline.engine.pytorch.tile_attention import Trial, choose_attention


@dataclass(frozen=True)
class TorchRunnerConfig:
    """How a model is run.

    Attributes:
        device: Where its weights are.
        kv_dtype: Of the KV cache.
        kv_cache_bytes: Memory for the KV cache.
        tile_rows: Rows of every forward; None takes batches in the shapes in which they come, faster for prompts and
            not batch-invariant.
        attention: How rows of tiles attend, see `paceline.engine.config.EngineConfig`.
        capture: What captures the forwards of tiles; None starts every kernel of each anew.
    """

    device: torch.device
    kv_dtype: torch.dtype
    kv_cache_bytes: int
    tile_rows: int | None
    attention: AttentionKind = "auto"
    capture: Capture | None = None


class TorchRunner:
    """Owns the model and the KV memory; see `paceline.engine.model_runner.ModelRunner`.

    With `tile_rows`, a pass is a row of forwards of that one shape, so that the library computes each row by the same
    kernels in the same order whatever else is in the pass. A tile that is not full costs as much as one that is: next
    to nothing on a device that waits for its weights, and much on a CPU.

    Attributes:
        attention: "flex" or "strides" over tiles, "chunks" without them.
    """

    def __init__(self, loaded: LoadedModel, config: TorchRunnerConfig) -> None:
        """Allocate the cache, and compile and capture what the configuration says; takes seconds.

        Raises BlocksExhaustedError where the memory holds no useful cache, and ConfigError where the demanded attention
        does not run.
        """
        self._model = PagedModel(loaded.model)
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
        keep_rotations(loaded.model)
        self.attention = "chunks"
        self._exact: ExactPasses | None = None
        if config.tile_rows is not None:
            self._exact = self._exact_passes(held, config.tile_rows)

    @property
    def num_graphs(self) -> int:
        """Forwards that were captured as graphs."""
        return 0 if self._exact is None else self._exact.num_graphs

    @property
    def graph_bytes(self) -> int:
        """Memory that they have taken beside the weights and the cache."""
        return 0 if self._exact is None else self._exact.graph_bytes

    @torch.inference_mode()
    def forward(self, batch: Batch) -> TorchLogits:
        """Run one pass; the logits are [batch.num_logits, vocab_size]."""
        logits = self._run_chunks(batch) if self._exact is None else self._exact.run(batch)
        if self._config.device.type == "cuda":
            torch.cuda.synchronize(self._config.device)  # so that a pass takes as long as it is said to
        return TorchLogits(logits, self._chooser)

    @torch.inference_mode()
    def copy_block(self, source: int, destination: int) -> None:
        """Copy the KV of one block over another's, in all layers."""
        self._cache.copy_block(source, destination)

    @torch.inference_mode()
    def _exact_passes(self, held: ModelShape, tile_rows: int) -> ExactPasses:
        config = self._config
        trial = Trial(
            tile_rows, held.num_heads, self._model.dtype, self._model.scaling(held.head_size), config.device
        )
        attention = choose_attention(config.attention, self._cache, trial)
        self.attention = attention.name
        logits = torch.zeros(tile_rows, self._vocabulary_size, dtype=torch.float32, device=config.device)
        return ExactPasses(self._model, attention, logits, config.capture)

    def _run_chunks(self, batch: Batch) -> Tensor:
        laid_out = chunks(batch, self._config.device)
        attention = ChunkAttention(self._cache, laid_out)
        if len(laid_out.logit_rows):
            return self._model.logits(laid_out, attention, laid_out.logit_rows).float()
        self._model.run(laid_out, attention)
        return torch.empty(0, self._vocabulary_size, device=self._config.device)
