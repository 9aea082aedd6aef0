"""Rows laid out as the graph's inputs, by worked examples."""

from paceline.engine.batch import Batch, Rows, chunked_batch, split_batch

BLOCK_SIZE = 4
NO_LOGITS = Rows([7, 8, 9], start=3, blocks=[5, 2], num_logits=0)
TWO_LOGITS = Rows([10, 11], start=0, blocks=[6], num_logits=2)


def inputs_of(batch: Batch) -> dict[str, list[int]]:
    return {name: array.tolist() for name, array in batch.inputs.items()}


def test_split_rows_are_subsequences_of_their_own() -> None:
    batch = split_batch([NO_LOGITS, TWO_LOGITS], min_rows=1, block_size=BLOCK_SIZE)
    assert (batch.num_rows, batch.num_logits) == (5, 2)
    assert inputs_of(batch) == {
        "input_ids": [7, 8, 9, 10, 11],
        "position_ids": [3, 4, 5, 0, 1],
        "past_lens": [3, 4, 5, 0, 1],
        "subsequence_begins": [0, 1, 2, 3, 4, 5],
        "block_indices": [5, 5, 2, 5, 2, 6, 6],  # position 3 is the last one in the first block
        "block_indices_begins": [0, 1, 3, 5, 6, 7],
        "max_context_len": 6,
        "logit_rows": [3, 4],
    }


def test_chunked_rows_of_a_sequence_are_one_subsequence() -> None:
    batch = chunked_batch([NO_LOGITS, TWO_LOGITS], min_rows=1, block_size=BLOCK_SIZE)
    assert (batch.num_rows, batch.num_logits) == (5, 2)
    assert inputs_of(batch) == {
        "input_ids": [7, 8, 9, 10, 11],
        "position_ids": [3, 4, 5, 0, 1],
        "past_lens": [3, 0],
        "subsequence_begins": [0, 3, 5],
        "block_indices": [5, 2, 6],
        "block_indices_begins": [0, 2, 3],
        "max_context_len": 6,
        "logit_rows": [3, 4],
    }


def test_small_batches_are_filled_up_with_rows_of_the_padding_block() -> None:
    batch = split_batch([Rows([9], 5, [3, 4], 1)], min_rows=3, block_size=BLOCK_SIZE)
    assert (batch.num_rows, batch.num_logits) == (3, 1)
    assert inputs_of(batch) == {
        "input_ids": [9, 0, 0],
        "position_ids": [5, 0, 0],
        "past_lens": [5, 0, 0],
        "subsequence_begins": [0, 1, 2, 3],
        "block_indices": [3, 4, 0, 0],
        "block_indices_begins": [0, 2, 3, 4],
        "max_context_len": 6,
        "logit_rows": [0, 2, 2],  # as many as rows: the head is a matrix product too
    }


def test_few_logits_of_many_rows_are_filled_up_too() -> None:
    batch = split_batch([NO_LOGITS, TWO_LOGITS], min_rows=4, block_size=BLOCK_SIZE)
    assert (batch.num_rows, batch.num_logits) == (5, 2)
    assert batch.inputs["logit_rows"].tolist() == [3, 4, 4, 4]


def test_a_batch_without_logits_computes_no_head() -> None:
    batch = split_batch([NO_LOGITS], min_rows=8, block_size=BLOCK_SIZE)
    assert (batch.num_rows, batch.num_logits) == (8, 0)
    assert batch.inputs["logit_rows"].size == 0


def test_blocks_behind_the_last_row_are_not_in_its_table() -> None:
    reserved = Rows([1, 2], start=4, blocks=[8, 9, 10, 11], num_logits=1)
    for lay_out, tables in ((split_batch, [8, 9, 8, 9]), (chunked_batch, [8, 9])):
        assert lay_out([reserved], 1, BLOCK_SIZE).inputs["block_indices"].tolist() == tables


def test_types_are_those_of_the_graph() -> None:
    inputs = split_batch([TWO_LOGITS], 1, BLOCK_SIZE).inputs
    wide = {name for name, array in inputs.items() if array.dtype == "int64"}
    assert wide == {"input_ids", "position_ids"}
    assert all(array.dtype == "int32" for name, array in inputs.items() if name not in wide)
