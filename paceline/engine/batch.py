"""A batch: the rows of one forward pass, as the arrays that the graph takes."""

from collections.abc import Sequence as Items
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from paceline.engine.block_pool import PADDING_BLOCK

IntArray = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Rows:
    """Neighbouring rows of one sequence.

    Attributes:
        token_ids: Shape [num_rows].
        start: Position of the first row; the KV before it is in `blocks`.
        blocks: The sequence's block table, which covers the last row.
        num_logits: The last `num_logits` rows get logits.
    """

    token_ids: Items[int]
    start: int
    blocks: Items[int]
    num_logits: int


@dataclass(frozen=True)
class Batch:
    """The graph's inputs; see `paceline.engine.graph.builder` for shapes. `num_logits` rows of its output count."""

    inputs: dict[str, npt.NDArray[np.generic]]
    num_rows: int
    num_logits: int


def split_batch(parts: Items[Rows], min_rows: int, block_size: int) -> Batch:
    """Lay every row out as a subsequence of its own, so that its bits depend on its ids and position alone.

    Why that is so, and what it costs: docs/decisions/001-rows-not-chunks.md. Rows of one sequence may be in one
    batch, since keys and values of all rows are written before attention reads any. Fewer than `min_rows` rows are
    filled up with rows of a padding block, because small batches run other kernels.

    Example: ids [7, 8] at position 33 with blocks [4, 9] are two subsequences with past_lens 33 and 34, both with
    block_indices [4, 9].
    """
    tables = [
        _table(part.blocks, position, block_size)
        for part in parts
        for position in range(part.start, part.start + len(part.token_ids))
    ]
    return _batch(parts, [1] * len(tables), tables, min_rows)


def chunked_batch(parts: Items[Rows], min_rows: int, block_size: int) -> Batch:
    """Lay neighbouring rows of a sequence out as one subsequence: faster over long prompts, not batch-invariant."""
    lengths = [len(part.token_ids) for part in parts]
    tables = [_table(part.blocks, part.start + len(part.token_ids) - 1, block_size) for part in parts]
    return _batch(parts, lengths, tables, min_rows)


def _table(blocks: Items[int], last_position: int, block_size: int) -> Items[int]:
    return blocks[: last_position // block_size + 1]


def _batch(parts: Items[Rows], lengths: list[int], tables: list[Items[int]], min_rows: int) -> Batch:
    ids, positions, logit_rows = _rows(parts)
    num_padding = max(0, min_rows - len(ids))
    ids += [0] * num_padding
    positions += [0] * num_padding
    lengths = lengths + [1] * num_padding
    tables = tables + [[PADDING_BLOCK]] * num_padding
    begins = np.cumsum([0, *lengths], dtype=np.int32)
    position_array = np.array(positions, np.int64)
    padded_logit_rows = logit_rows + [len(ids) - 1] * (
        max(0, min_rows - len(logit_rows)) if logit_rows else 0
    )
    inputs: dict[str, npt.NDArray[np.generic]] = {
        "input_ids": np.array(ids, np.int64),
        "position_ids": position_array,
        "past_lens": position_array[begins[:-1]].astype(np.int32),
        "subsequence_begins": begins,
        "block_indices": np.concatenate(tables, dtype=np.int32, casting="unsafe"),
        "block_indices_begins": np.cumsum([0, *map(len, tables)], dtype=np.int32),
        "max_context_len": np.array(position_array.max() + 1, np.int32),
        "logit_rows": np.array(padded_logit_rows, np.int32),
    }
    return Batch(inputs, len(ids), len(logit_rows))


def _rows(parts: Items[Rows]) -> tuple[list[int], list[int], list[int]]:
    ids: list[int] = []
    positions: list[int] = []
    logit_rows: list[int] = []
    for part in parts:
        ids += part.token_ids
        positions += range(part.start, part.start + len(part.token_ids))
        logit_rows += range(len(ids) - part.num_logits, len(ids))
    return ids, positions, logit_rows
