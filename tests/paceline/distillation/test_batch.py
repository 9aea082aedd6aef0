"""Batches: what a student sees, and where it is taught."""

import numpy as np

from paceline.distillation.batch import Batch, epoch_batches, make_batch
from paceline.distillation.document import Document
from tests.paceline.distillation.small_target import documents

ROW_SIZE = 24


def epoch(some: list[Document], seed: int) -> list[Batch]:
    return list(epoch_batches(some, ROW_SIZE, 2, (seed, 0)))


def test_a_label_stands_before_the_token_that_it_is_for() -> None:
    batch = make_batch([documents([6, 9])], ROW_SIZE)
    # Of 6 ids 5 are read, and the last 3 of these are followed by a written one.
    assert batch.segments.tolist() == [[1] * 5 + [2] * 8 + [0] * 11]
    assert batch.positions[0, :13].tolist() == [*range(5), *range(8)]
    assert batch.label_places.tolist() == [2, 3, 4, *range(8, 13)]
    assert batch.next_ids.tolist() == [1] * 3 + [2] * 5
    first, second = documents([6, 9])
    assert np.array_equal(batch.label_ids, np.concatenate([first.label_ids, second.label_ids]))


def test_of_a_text_longer_than_a_row_the_end_is_taught() -> None:
    (long,) = documents([40])
    batch = make_batch([[long]], ROW_SIZE)
    assert batch.segments.all()
    assert batch.label_places.tolist() == list(range(ROW_SIZE - 20, ROW_SIZE))
    assert np.array_equal(batch.label_ids, long.label_ids)


def test_an_epoch_has_every_label_once_in_an_order_that_the_seed_alone_decides() -> None:
    some = documents([3 + number * 7 % 20 for number in range(700)])
    first, again, other = epoch(some, 1), epoch(some, 1), epoch(some, 2)
    counts = np.bincount(np.concatenate([one.next_ids for one in first]), minlength=len(some) + 1)
    assert counts[1:].tolist() == [one.num_written for one in some]
    assert all(np.array_equal(one.token_ids, two.token_ids) for one, two in zip(first, again, strict=True))
    assert not np.array_equal(first[0].token_ids, other[0].token_ids)


def test_rows_are_mostly_full() -> None:
    filled = np.concatenate(
        [one.segments > 0 for one in epoch(documents([9] * 40 + [14] * 40 + [5] * 80), 0)]
    )
    assert filled.mean() > 0.8
