"""What a line knows of its text when the work that was to extend its cache fails."""

import numpy as np

from draft_service.drafted_ids import DraftedIds
from paceline.engine.block_pool import BlockPool
from paceline.engine.sequence import Sequence
from paceline.engine.work import Work, WorkHandle


def begun(ids: DraftedIds, position: int, token_ids: list[int]) -> WorkHandle:
    handle = WorkHandle(Work(Sequence(BlockPool(8, 4)), position, np.array(token_ids)), lambda: None)
    ids.begin(handle)
    return handle


def test_a_guess_whose_work_failed_keeps_its_text_and_computes_it_later() -> None:
    ids = DraftedIds([1, 2, 3])
    handle = begun(ids, 3, [7])
    # Its sequence was forked from one that goes on with another id.
    ids.fall_back_to_given(handle, [1, 2, 3, 4, 5])
    assert ids.known == [1, 2, 3, 7]
    extension = ids.extension(4)
    assert (extension.position, extension.token_ids.tolist()) == (3, [7])


def test_a_text_whose_sequence_holds_nothing_is_computed_anew() -> None:
    ids = DraftedIds([1, 2])
    ids.fall_back_to_given(begun(ids, 2, [3]), [])
    extension = ids.extension(2, [9])
    assert (extension.position, extension.token_ids.tolist()) == (0, [1, 2, 9])


def test_a_work_that_failed_after_another_was_begun_changes_nothing() -> None:
    ids = DraftedIds([1, 2])
    earlier = begun(ids, 2, [3])
    begun(ids, 2, [4])
    ids.fall_back_to_given(earlier, [])
    assert ids.known == [1, 2, 4]
