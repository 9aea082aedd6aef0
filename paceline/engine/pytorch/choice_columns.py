"""How the ids of many rows are chosen, as columns on a device."""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from paceline.engine.pytorch.noise import as_int64
from paceline.engine.work import RowChoice


class ChoiceColumns(NamedTuple):
    """One column for each thing that the `RowChoice` of a row says; the temperature of all rows is above 0."""

    rows: Tensor  # [num_rows] int64: which of a pass's logits a row is
    positions: Tensor  # [num_rows] int64
    seeds: Tensor  # [num_rows] int64, with the bits of an unsigned one
    top_k: Tensor  # [num_rows, 1] int64; the vocabulary's size where all are kept
    temperatures: Tensor  # [num_rows, 1] float64
    top_p: Tensor  # [num_rows, 1] float64; 1 where all are kept
    least_log_weights: Tensor  # [num_rows, 1] float64: the logarithm of min_p; -inf where all are kept

    @classmethod
    def of(
        cls, choices: Sequence[RowChoice], rows: Sequence[int], vocabulary_size: int, device: torch.device
    ) -> "ChoiceColumns":
        """Return the columns of those rows of a pass that are named."""
        named = [choices[row] for row in rows]
        positions = [choice.position for choice in named]
        seeds = as_int64([choice.seed for choice in named])
        top_k = [num_kept(choice, vocabulary_size) for choice in named]
        temperatures = [choice.temperature for choice in named]
        top_p = [choice.top_p for choice in named]
        least = [math.log(choice.min_p) if choice.min_p else -math.inf for choice in named]
        # Two transfers for all of them.
        integers = torch.from_numpy(np.array([rows, positions, seeds, top_k], np.int64)).to(device)
        reals = torch.from_numpy(np.array([temperatures, top_p, least], np.float64)).to(device)
        return cls(integers[0], integers[1], integers[2], integers[3][:, None], *reals[..., None].unbind())

    def split(self, num_rows: int) -> Iterator["ChoiceColumns"]:
        """Split into groups of so many rows; the last may have fewer."""
        for group in zip(*(column.split(num_rows) for column in self), strict=True):
            yield ChoiceColumns(*group)


def num_kept(choice: RowChoice, vocabulary_size: int) -> int:
    """Return how many of the highest logits top_k keeps."""
    return vocabulary_size if choice.top_k is None else min(choice.top_k, vocabulary_size)
