"""Passes in exact mode: one tile after the other."""

from functools import partial

import structlog
import torch
from torch import Tensor

from paceline.engine.batch import Batch
from paceline.engine.pytorch.attention import BLOCKS_PER_STRIDE
from paceline.engine.pytorch.graphs import Capture, as_it_is
from paceline.engine.pytorch.layout import Tile, tiles
from paceline.engine.pytorch.library_errors import reason_of
from paceline.engine.pytorch.paged_model import PagedModel
from paceline.engine.pytorch.tile_attention import TileAttention
from paceline.engine.pytorch.tile_forwards import StandingForward

_log = structlog.get_logger()


class ExactPasses:
    """Runs a batch as a row of forwards of one shape, each of which may be a captured graph.

    Attributes:
        num_graphs: Captured forwards.
        graph_bytes: Memory of the device that capturing them took, which stays taken.
    """

    num_graphs = 0
    graph_bytes = 0

    def __init__(
        self, model: PagedModel, attention: TileAttention, logits: Tensor, capture: Capture | None
    ) -> None:
        """Capture the forwards, if they are to be: here and not when they are first needed, when sessions would wait.

        `logits` is the memory that every tile's logits are written to [tile_rows, vocab_size].
        """
        self._model = model
        self._attention = attention
        self._logits = logits
        captured = None if capture is None else self._captured(capture)
        self._standing = self._stand(attention.standing_widths, as_it_is) if captured is None else captured

    def run(self, batch: Batch) -> Tensor:
        """Run one pass; the logits [batch.num_logits, vocab_size] are valid until the next one."""
        tile_rows = len(self._logits)
        cut = list(tiles(batch, tile_rows, BLOCKS_PER_STRIDE, self._logits.device))
        if len(cut) == 1:
            self._run_tile(cut[0])
            return self._logits[: batch.num_logits]
        # The next tile writes over this one's.
        collected = self._logits.new_empty(batch.num_logits, self._logits.shape[1])
        first = 0
        for tile in cut:
            self._run_tile(tile)
            collected[first : first + tile.num_logits] = self._logits[: tile.num_logits]
            first += tile.num_logits
        return collected

    def _run_tile(self, tile: Tile) -> None:
        """Run a tile in the narrowest standing forward that takes it, else as it comes."""
        for forward in self._standing:
            if forward.takes(tile):
                forward.run(tile)
                return
        self._compute(tile)

    def _compute(self, tile: Tile) -> None:
        attention = self._attention.begin(tile)
        if tile.num_logits:
            self._logits.copy_(self._model.logits(tile, attention, tile.logit_rows))
        else:
            self._model.run(tile, attention)

    def _stand(self, widths: tuple[int, ...], capture: Capture) -> list[StandingForward]:
        stand = partial(
            StandingForward, self._compute, num_rows=len(self._logits), device=self._logits.device
        )
        return [stand(width=width, capture=capture) for width in widths]

    def _captured(self, capture: Capture) -> list[StandingForward] | None:
        """Return captured forwards; None where the model or the device does not allow it."""
        before = _taken_bytes(self._logits.device)
        try:
            # The widest first, so that the narrower find their memory in what it needs on its way.
            captured = self._stand(self._attention.captured_widths[::-1], capture)[::-1]
        except Exception as error:  # whatever the model's operations and the device raise
            message = (
                f"Forwards cannot be captured as CUDA graphs ({reason_of(error)}), so that each of their kernels is "
                "started by itself, which takes longer with few rows."
            )
            _log.warning("no_cuda_graphs", message=message)
            return None
        self.num_graphs = 2 * len(captured)
        self.graph_bytes = _taken_bytes(self._logits.device) - before
        return captured


def _taken_bytes(device: torch.device) -> int:
    return torch.cuda.memory_reserved(device) if device.type == "cuda" else 0
