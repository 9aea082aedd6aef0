"""Forwards of tiles: in memory that stays where it is, so that a device can be told all of one at once."""

from collections.abc import Callable
from functools import partial

import torch

from paceline.engine.block_pool import PADDING_BLOCK
from paceline.engine.pytorch.graphs import Capture
from paceline.engine.pytorch.layout import NUM_FACTS, Tile

# Computes a tile; all rows' logits go where they belong, or none are computed where `num_logits` is 0.
ComputeTile = Callable[[Tile], None]


class StandingForward:
    """The forward of tiles whose tables are as wide as one width, or less wide.

    It is captured twice, with logits and without: most tiles of a prompt want none, and the head of a small model is
    more than a quarter of its weights.
    """

    def __init__(
        self, compute: ComputeTile, num_rows: int, width: int, device: torch.device, capture: Capture
    ) -> None:
        """Capture it, over rows of the padding block; raises what `capture` raises."""
        self._facts = torch.zeros(num_rows, NUM_FACTS + width, dtype=torch.int64, device=device)
        self._facts[:, NUM_FACTS:] = PADDING_BLOCK
        self._width = width
        self._with_logits = capture(partial(compute, Tile.of(self._facts, num_rows)))
        self._without_logits = capture(partial(compute, Tile.of(self._facts, 0)))

    def takes(self, tile: Tile) -> bool:
        """Say whether the tile's tables fit."""
        return tile.tables.shape[1] <= self._width

    def run(self, tile: Tile) -> None:
        """Compute a tile. What its tables leave free is filled up with the padding block."""
        num_columns = tile.facts.shape[1]
        self._facts[:, :num_columns] = tile.facts
        self._facts[:, num_columns:] = PADDING_BLOCK
        if tile.num_logits:
            self._with_logits()
        else:
            self._without_logits()


def doubling_widths(first: int, most: int) -> tuple[int, ...]:
    """Return `first`, twice that, and so on; the last is at most `most`, but for the first.

    Example: 4 and 20 give 4, 8, 16.
    """
    widths = [first]
    while widths[-1] * 2 <= most:
        widths.append(widths[-1] * 2)
    return tuple(widths)
