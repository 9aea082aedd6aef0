"""A batch on the device: whole tiles of one shape, or chunks in the shapes that come."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from paceline.engine.batch import Batch
from paceline.engine.block_pool import PADDING_BLOCK
from paceline.engine.pytorch.kv_cache import BLOCK_SIZE

Ints = npt.NDArray[np.int64]
# What a tile's array holds of a row before its block table.
NUM_FACTS = 4


@dataclass(frozen=True)
class PassRows:
    """Rows of a forward.

    Attributes:
        token_ids: [num_rows].
        positions: [num_rows].
        slots: Where the rows' keys and values go [num_rows].
        logit_rows: The rows with logits [num_logits].
        tables: Blocks of each subsequence [num_subsequences, width], filled up with the padding block.
    """

    token_ids: Tensor
    positions: Tensor
    slots: Tensor
    logit_rows: Tensor
    tables: Tensor


@dataclass(frozen=True)
class Tile(PassRows):
    """So many rows that every forward has the same shape, each a subsequence of its own.

    Attributes:
        facts: All that is said of the rows, in one array of which the others are parts [num_rows, NUM_FACTS + width].
        num_logits: So many of `logit_rows` count; they are filled up with row 0 to as many as there are rows.
    """

    facts: Tensor
    num_logits: int

    @classmethod
    def of(cls, facts: Tensor, num_logits: int) -> "Tile":
        """Read an array of facts: of each row its id, its position, its slot, a row with logits, and its table."""
        return cls(
            *(facts[:, column] for column in range(NUM_FACTS)),
            tables=facts[:, NUM_FACTS:],
            facts=facts,
            num_logits=num_logits,
        )


@dataclass(frozen=True)
class Chunks(PassRows):
    """Neighbouring rows of each sequence together.

    Attributes:
        rows: The rows of each chunk [num_chunks, longest], filled up with row 0.
        chunk_of_row: [num_rows].
        place_of_row: In its chunk [num_rows].
    """

    rows: Tensor
    chunk_of_row: Tensor
    place_of_row: Tensor


def tiles(batch: Batch, tile_rows: int, blocks_per_stride: int, device: torch.device) -> Iterator[Tile]:
    """Cut a batch whose rows are subsequences of their own (`split_batch`) into tiles, in order.

    Tables are as wide as the longest row of the tile needs, in whole strides.
    """
    ids, positions = _ints(batch, "input_ids"), _ints(batch, "position_ids")
    logit_rows = _ints(batch, "logit_rows")[: batch.num_logits]
    tables = _tables(batch)
    assert len(tables) == len(ids)
    for first in range(0, len(ids), tile_rows):
        own = slice(first, first + tile_rows)
        wanted = logit_rows[(logit_rows >= first) & (logit_rows < own.stop)] - first
        facts = _padded(ids[own], positions[own], tables[own], wanted, tile_rows, blocks_per_stride)
        # One transfer a tile.
        yield Tile.of(torch.from_numpy(facts).to(device), len(wanted))


def chunks(batch: Batch, device: torch.device) -> Chunks:
    """Lay a batch out as it is (`chunked_batch`)."""
    ids, positions = _ints(batch, "input_ids"), _ints(batch, "position_ids")
    begins, tables = _ints(batch, "subsequence_begins"), _tables(batch)
    lengths = np.diff(begins)
    chunk_of_row = np.repeat(np.arange(len(lengths)), lengths)
    place_of_row = np.arange(len(ids)) - begins[chunk_of_row]
    rows = np.zeros((len(lengths), lengths.max()), np.int64)
    rows[chunk_of_row, place_of_row] = np.arange(len(ids))
    slots = _slots(tables[chunk_of_row], positions)
    logit_rows = _ints(batch, "logit_rows")[: batch.num_logits]
    arrays = (ids, positions, slots, logit_rows, tables, rows, chunk_of_row, place_of_row)
    return Chunks(*(torch.from_numpy(array).to(device) for array in arrays))


def _padded(
    ids: Ints, positions: Ints, tables: Ints, wanted: Ints, tile_rows: int, blocks_per_stride: int
) -> Ints:
    """A tile's rows as one array, see `Tile.of`."""
    num_blocks = int(positions.max()) // BLOCK_SIZE + 1
    width = -(-num_blocks // blocks_per_stride) * blocks_per_stride
    facts = np.zeros((tile_rows, NUM_FACTS + width), np.int64)
    facts[:, NUM_FACTS:] = PADDING_BLOCK
    num_rows = len(ids)
    facts[:num_rows, 0], facts[:num_rows, 1] = ids, positions
    facts[:num_rows, 2] = _slots(tables, positions)
    facts[: len(wanted), 3] = wanted
    facts[:num_rows, NUM_FACTS : NUM_FACTS + num_blocks] = tables[:, :num_blocks]
    return facts


def _tables(batch: Batch) -> Ints:
    """The block table of each subsequence [num_subsequences, longest], filled up with the padding block."""
    counts = np.diff(_ints(batch, "block_indices_begins"))
    tables = np.full((len(counts), counts.max()), PADDING_BLOCK, np.int64)
    tables[np.arange(tables.shape[1]) < counts[:, None]] = batch.inputs["block_indices"]
    return tables


def _slots(tables: Ints, positions: Ints) -> Ints:
    blocks = tables[np.arange(len(tables)), positions // BLOCK_SIZE]
    return blocks * BLOCK_SIZE + positions % BLOCK_SIZE


def _ints(batch: Batch, name: str) -> Ints:
    return batch.inputs[name].astype(np.int64)
