"""Batches become tiles of one shape, whose every number can be told from the rows."""

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed (`make setup` installs it)")
pytest.importorskip("transformers", reason="transformers is not installed (`make setup` installs it)")

from hypothesis import given  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from paceline.engine.batch import Rows, chunked_batch, split_batch  # noqa: E402
from paceline.engine.pytorch.kv_cache import BLOCK_SIZE  # noqa: E402
from paceline.engine.pytorch.layout import chunks, tiles  # noqa: E402

pytestmark = pytest.mark.reference

CPU = torch.device("cpu")
BLOCKS_PER_STRIDE = 4


def test_two_rows_at_the_end_of_a_block() -> None:
    batch = split_batch([Rows([7, 8], 31, [4, 9], 1)], 1, BLOCK_SIZE)
    [tile] = tiles(batch, 3, BLOCKS_PER_STRIDE, CPU)
    assert tile.token_ids.tolist() == [7, 8, 0]
    assert tile.positions.tolist() == [31, 32, 0]
    assert tile.slots.tolist() == [4 * BLOCK_SIZE + 31, 9 * BLOCK_SIZE, 0]
    assert tile.tables.tolist() == [[4, 0, 0, 0], [4, 9, 0, 0], [0, 0, 0, 0]]
    assert (tile.logit_rows.tolist(), tile.num_logits) == ([1, 0, 0], 1)


def test_chunks_know_their_rows() -> None:
    parts = [Rows([7, 8, 9], 31, [4, 9], 2), Rows([5], 0, [3], 1)]
    laid_out = chunks(chunked_batch(parts, 1, BLOCK_SIZE), CPU)
    assert laid_out.rows.tolist() == [[0, 1, 2], [3, 0, 0]]
    assert laid_out.tables.tolist() == [[4, 9], [3, 0]]
    assert laid_out.slots.tolist() == [
        4 * BLOCK_SIZE + 31,
        9 * BLOCK_SIZE,
        9 * BLOCK_SIZE + 1,
        3 * BLOCK_SIZE,
    ]
    assert laid_out.logit_rows.tolist() == [1, 2, 3]
    assert laid_out.chunk_of_row.tolist() == [0, 0, 0, 1]
    assert laid_out.place_of_row.tolist() == [0, 1, 2, 0]


@given(
    parts=st.lists(
        st.tuples(st.integers(1, 9), st.integers(0, 200), st.integers(0, 9)), min_size=1, max_size=6
    ),
    tile_rows=st.integers(1, 8),
)
def test_every_row_is_in_one_tile_once(parts: list[tuple[int, int, int]], tile_rows: int) -> None:
    next_block, rows = 1, list[Rows]()
    for num_rows, start, num_logits in parts:
        num_blocks = (start + num_rows - 1) // BLOCK_SIZE + 1
        ids = range(next_block * 1000, next_block * 1000 + num_rows)
        table = list(range(next_block, next_block + num_blocks))
        rows.append(Rows(list(ids), start, table, min(num_logits, num_rows)))
        next_block += num_blocks
    batch = split_batch(rows, 1, BLOCK_SIZE)
    made = list(tiles(batch, tile_rows, BLOCKS_PER_STRIDE, CPU))
    assert {len(tile.token_ids) for tile in made} == {tile_rows}
    assert all(tile.tables.shape[1] % BLOCKS_PER_STRIDE == 0 for tile in made)
    ids = [token_id for tile in made for token_id in tile.token_ids.tolist()]
    expected = [token_id for part in rows for token_id in part.token_ids]
    assert ids == expected + [0] * (len(ids) - len(expected))
    logit_ids = [
        tile.token_ids[row].item() for tile in made for row in tile.logit_rows[: tile.num_logits].tolist()
    ]
    assert logit_ids == [
        one for part in rows for one in list(part.token_ids)[len(part.token_ids) - part.num_logits :]
    ]
    for tile in made:
        for slot, position, table in zip(
            tile.slots.tolist(), tile.positions.tolist(), tile.tables.tolist(), strict=True
        ):
            assert slot == table[position // BLOCK_SIZE] * BLOCK_SIZE + position % BLOCK_SIZE
