"""What passes are given."""

import itertools

from benchmarks.passes.case import Case, cut, greedy_choices, grid
from paceline.engine.batch import chunked_batch, split_batch

BLOCK_SIZE = 4
VOCABULARY_SIZE = 50


def test_every_session_has_blocks_of_its_own_for_its_context_and_its_rows() -> None:
    case = Case(context=6, num_sessions=3, num_rows=3)
    parts = case.parts(BLOCK_SIZE, VOCABULARY_SIZE)
    blocks = [block for part in parts for block in part.blocks]
    assert sorted(blocks) == list(range(1, case.num_blocks(BLOCK_SIZE))), (
        "none twice, none left out, no padding"
    )
    assert all(len(part.blocks) * BLOCK_SIZE >= case.context + case.num_rows for part in parts)
    assert {(part.start, len(part.token_ids), part.num_logits) for part in parts} == {(6, 3, 3)}
    assert all(0 <= one < VOCABULARY_SIZE for part in parts for one in part.token_ids)


def test_both_layouts_take_them() -> None:
    case = Case(context=5, num_sessions=2, num_rows=5)
    for lay_out in (split_batch, chunked_batch):
        batch = lay_out(case.parts(BLOCK_SIZE, VOCABULARY_SIZE), 1, BLOCK_SIZE)
        assert (batch.num_rows, batch.num_logits) == (case.total_rows, case.total_rows)


def test_rows_that_do_not_fit_into_a_pass_are_cut_between_sessions() -> None:
    parts = Case(context=0, num_sessions=3, num_rows=5).parts(BLOCK_SIZE, VOCABULARY_SIZE)
    passes = list(cut(parts, max_rows=12))
    assert [len(one) for one in passes] == [2, 1]
    assert list(itertools.chain(*passes)) == parts
    assert list(cut(parts, max_rows=15)) == [parts]


def test_each_row_chooses_the_id_behind_it() -> None:
    choices = greedy_choices(Case(context=7, num_sessions=2, num_rows=2).parts(BLOCK_SIZE, VOCABULARY_SIZE))
    assert [(one.position, one.temperature) for one in choices] == [(8, 0.0), (9, 0.0)] * 2


def test_cases_that_differ_in_rows_alone_are_neighbours() -> None:
    cases = list(grid((256, 1024), (1, 2), (1, 5)))
    assert cases[:3] == [Case(256, 1, 1), Case(256, 1, 5), Case(256, 2, 1)]
    assert len(set(cases)) == 8
