"""A target's logits at some places of its texts, in a file that the target's and the drafts' processes map.

A row of a large vocabulary is 600 KB, so that only a bounded number of places is kept, spread evenly.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from paceline.engine.work import Logits, TokenIds
from paceline.sampling.selector import RowSelector

Row = npt.NDArray[np.float32]  # [vocab_size]


@dataclass(frozen=True)
class KeptPlaces:
    """Which places are kept: every so many, counted over all texts as if each were `max_tokens` long.

    Example: 2 texts of at most 10 tokens and at most 5 places keep places 0, 4 and 8 of the first text and 2 and 6 of
    the second.
    """

    num_texts: int
    max_tokens: int
    max_places: int

    @property
    def num_rows(self) -> int:
        """Places that are kept where all texts are as long as they may be."""
        return -(-self.num_texts * self.max_tokens // self._step)

    def rows_of(self, text: int) -> dict[int, int]:
        """Return the rows of a text's kept places, by place; place 0 is that of the text's first token."""
        first, step = text * self.max_tokens, self._step
        kept = range(-(-first // step) * step, first + self.max_tokens, step)
        return {place - first: place // step for place in kept}

    @property
    def _step(self) -> int:
        return max(1, -(-self.num_texts * self.max_tokens // self.max_places))


@dataclass(frozen=True)
class KeptLogits:
    """The file: rows [places.num_rows, vocab_size] of float32 in the machine's byte order."""

    path: Path
    places: KeptPlaces

    def create(self, vocabulary_size: int) -> Logits:
        """Return the rows of a new file, to be written to; what is never written takes no room."""
        return np.memmap(self.path, np.float32, "w+", shape=(self.places.num_rows, vocabulary_size))

    def open(self) -> Logits:
        """Return the rows of a written file, read-only."""
        return np.memmap(self.path, np.float32, "r").reshape(self.places.num_rows, -1)


class KeepingSelector:
    """Chooses as another selector does, and copies the logits of some positions."""

    def __init__(self, chooser: RowSelector, kept: Mapping[int, Row]) -> None:
        """`kept` is where the logits of a position go."""
        self._chooser = chooser
        self._kept = kept

    def __call__(self, logits: Logits, positions: TokenIds, token_ids: Sequence[int]) -> TokenIds:
        """Return the chosen ids [num_rows]."""
        for row, position in zip(logits, positions.tolist(), strict=True):
            if position in self._kept:
                self._kept[position][:] = row
        return self._chooser(logits, positions, token_ids)
