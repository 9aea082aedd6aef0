"""A batch of packed texts, and the order in which an epoch goes through them."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from paceline.distillation.document import Document
from paceline.distillation.packing import pack

Ints = npt.NDArray[np.int64]
# So many texts are packed together: enough to fill rows, few enough to stay in a random order.
_PACKED_AT_ONCE = 256


class Batch(NamedTuple):
    """Rows of packed texts with their labels; a label stands at the position before the token that it is for."""

    token_ids: Ints  # [num_rows, row_size], 0 where a row is not full
    positions: Ints  # [num_rows, row_size], from 0 in each text
    segments: (
        Ints  # [num_rows, row_size], the number of the text in its row from 1 on, 0 where a row is not full
    )
    label_places: Ints  # [num_labelled], indices into the rows laid end to end
    next_ids: Ints  # [num_labelled], what the target wrote
    label_ids: Ints  # [num_labelled, num_labels]
    label_logprobs: npt.NDArray[np.float32]  # [num_labelled, num_labels]


def epoch_batches(
    documents: Sequence[Document], row_size: int, num_rows: int, seed: tuple[int, ...]
) -> Iterator[Batch]:
    """Yield all documents once, in an order that depends on the seed alone."""
    generator = np.random.default_rng(seed)
    order = generator.permutation(len(documents)).tolist()
    rows: list[list[Document]] = []
    for start in range(0, len(order), _PACKED_AT_ONCE):
        some = [documents[index] for index in order[start : start + _PACKED_AT_ONCE]]
        packed = pack([_num_inputs(one, row_size) for one in some], row_size)
        rows += [[some[index] for index in row] for row in packed]
        shuffled = generator.permutation(len(rows)).tolist()
        # What is left over is packed into the next batch.
        full = len(rows) // num_rows * num_rows
        for first in range(0, full, num_rows):
            yield make_batch([rows[index] for index in shuffled[first : first + num_rows]], row_size)
        rows = [rows[index] for index in shuffled[full:]]
    if rows:
        yield make_batch(rows, row_size)


def batches_in_order(documents: Sequence[Document], row_size: int, num_rows: int) -> Iterator[Batch]:
    """Yield all documents once, one a row, as evaluation wants them."""
    for start in range(0, len(documents), num_rows):
        yield make_batch([[one] for one in documents[start : start + num_rows]], row_size)


def make_batch(rows: Sequence[Sequence[Document]], row_size: int) -> Batch:
    """Lay texts side by side.

    The last token of a text is only predicted. Of a text longer than a row the end is kept, where the labels are: the
    student's positions are relative, so that they may begin at 0 all the same.
    """
    token_ids, positions, segments = (np.zeros((len(rows), row_size), np.int64) for _ in range(3))
    places: list[Ints] = []
    labelled: list[Document] = []
    for number, row in enumerate(rows):
        start = 0
        for segment, document in enumerate(row, start=1):
            num_inputs = _num_inputs(document, row_size)
            stop = start + num_inputs
            token_ids[number, start:stop] = document.token_ids[-num_inputs - 1 : -1]
            positions[number, start:stop] = np.arange(num_inputs)
            segments[number, start:stop] = segment
            num_labelled = min(document.num_written, num_inputs)
            places.append(number * row_size + np.arange(stop - num_labelled, stop))
            labelled.append(document)
            start = stop
    ends = [-len(one) for one in places]
    pairs = list(zip(ends, labelled, strict=True))
    return Batch(
        token_ids,
        positions,
        segments,
        np.concatenate(places),
        np.concatenate([one.token_ids[end:] for end, one in pairs]).astype(np.int64),
        np.concatenate([one.label_ids[end:] for end, one in pairs]).astype(np.int64),
        np.concatenate([one.label_logprobs[end:] for end, one in pairs]).astype(np.float32),
    )


def _num_inputs(document: Document, row_size: int) -> int:
    return min(len(document.token_ids) - 1, row_size)
