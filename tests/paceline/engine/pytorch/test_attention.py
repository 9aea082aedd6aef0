"""Attention over blocks is attention over the tokens in them, and a row's bits are its own."""

from dataclasses import dataclass

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed (`make setup` installs it)")
pytest.importorskip("transformers", reason="transformers is not installed (`make setup` installs it)")

from torch import Generator, Tensor  # noqa: E402
from torch.nn.functional import scaled_dot_product_attention  # noqa: E402

from paceline.engine.batch import Rows, chunked_batch, split_batch  # noqa: E402
from paceline.engine.pytorch.attention import (  # noqa: E402
    BLOCKS_PER_STRIDE,
    ChunkAttention,
    StridedAttention,
)
from paceline.engine.pytorch.kv_cache import BLOCK_SIZE, KeysValues, KvCache, KvShape  # noqa: E402
from paceline.engine.pytorch.layout import chunks, tiles  # noqa: E402

pytestmark = pytest.mark.reference

STRIDE = BLOCKS_PER_STRIDE * BLOCK_SIZE
NUM_HEADS, NUM_KV_HEADS, HEAD_SIZE, NUM_BLOCKS = 6, 2, 16, 64
SCALING = HEAD_SIZE**-0.5
TILE_ROWS = 4
CPU = torch.device("cpu")
LENGTHS = [1, 31, 32, 33, STRIDE - 1, STRIDE, STRIDE + 1, 2 * STRIDE + 77]


@dataclass
class Text:
    """A sequence whose tokens are all in the cache, and the query of its last."""

    cache: KvCache
    blocks: list[int]
    keys: Tensor  # [num_tokens, num_kv_heads, head_size]
    values: Tensor
    query: Tensor  # [num_heads, head_size]

    @property
    def last(self) -> Rows:
        position = len(self.keys) - 1
        return Rows([0], position, self.blocks, 1)

    @property
    def expected(self) -> Tensor:
        """Of the last token, by PyTorch without any blocks."""
        query, keys, values = (one.transpose(0, 1) for one in (self.query[None], self.keys, self.values))
        attended = scaled_dot_product_attention(query[None], keys[None], values[None], enable_gqa=True)
        return attended[0, :, 0]


def texts(lengths: list[int], seed: int = 0) -> list[Text]:
    """Sequences in blocks that lie anywhere, in a cache full of what others left behind."""
    generator = Generator().manual_seed(seed)
    cache = KvCache(KvShape(1, NUM_KV_HEADS, HEAD_SIZE, torch.float32), NUM_BLOCKS, CPU)
    everything = torch.arange(NUM_BLOCKS * BLOCK_SIZE)
    cache.write(0, everything, KeysValues(*(_random(generator, len(everything), NUM_KV_HEADS) for _ in "kv")))
    order = iter(np.random.default_rng(seed).permutation(np.arange(1, NUM_BLOCKS)).tolist())
    made: list[Text] = []
    for length in lengths:
        blocks = [next(order) for _ in range(-(-length // BLOCK_SIZE))]
        keys, values = (_random(generator, length, NUM_KV_HEADS) for _ in "kv")
        slots = torch.tensor(
            [blocks[at // BLOCK_SIZE] * BLOCK_SIZE + at % BLOCK_SIZE for at in range(length)]
        )
        cache.write(0, slots, KeysValues(keys, values))
        made.append(Text(cache, blocks, keys, values, _random(generator, 1, NUM_HEADS)[0]))
    return made


def _random(generator: Generator, num_rows: int, num_heads: int) -> Tensor:
    return torch.randn(num_rows, num_heads, HEAD_SIZE, generator=generator)


def attended_in_tiles(rows: list[Text]) -> Tensor:
    """Of the last token of each text [num_texts, num_heads, head_size]."""
    batch = split_batch([text.last for text in rows], 1, BLOCK_SIZE)
    found: list[Tensor] = []
    for number, tile in enumerate(tiles(batch, TILE_ROWS, BLOCKS_PER_STRIDE, CPU)):
        own = rows[number * TILE_ROWS : (number + 1) * TILE_ROWS]
        query, keys, values = (torch.zeros(TILE_ROWS, heads, HEAD_SIZE) for heads in _HEADS)
        for row, text in enumerate(own):
            query[row], keys[row], values[row] = text.query, text.keys[-1], text.values[-1]
        attention = StridedAttention(own[0].cache, tile)
        found.append(attention.attend(0, query, KeysValues(keys, values), SCALING)[: len(own)])
    return torch.cat(found)


_HEADS = (NUM_HEADS, NUM_KV_HEADS, NUM_KV_HEADS)


@pytest.mark.parametrize("length", LENGTHS)
def test_a_row_attends_to_all_of_its_sequence_and_nothing_else(length: int) -> None:
    [text] = texts([length])
    torch.testing.assert_close(attended_in_tiles([text])[0], text.expected)


def test_rows_of_any_lengths_attend_in_chunks_as_each_alone() -> None:
    rows = texts(LENGTHS)
    batch = chunked_batch([text.last for text in rows], 1, BLOCK_SIZE)
    attention = ChunkAttention(rows[0].cache, chunks(batch, CPU))
    own = KeysValues(
        torch.stack([text.keys[-1] for text in rows]), torch.stack([text.values[-1] for text in rows])
    )
    attended = attention.attend(0, torch.stack([text.query for text in rows]), own, SCALING)
    torch.testing.assert_close(attended, torch.stack([text.expected for text in rows]))


def test_neighbouring_rows_of_a_chunk_do_not_see_what_follows_them() -> None:
    [text] = texts([70])
    chunk = Rows([0] * 40, 30, text.blocks, 40)
    attention = ChunkAttention(text.cache, chunks(chunked_batch([chunk], 1, BLOCK_SIZE), CPU))
    query = _random(Generator().manual_seed(1), 40, NUM_HEADS)
    attended = attention.attend(0, query, KeysValues(text.keys[30:], text.values[30:]), SCALING)
    for row in (0, 17, 39):
        alone = Text(text.cache, text.blocks, text.keys[: 31 + row], text.values[: 31 + row], query[row])
        torch.testing.assert_close(attended[row], alone.expected)


def test_a_row_has_the_same_bits_alone_and_beside_longer_and_shorter_ones() -> None:
    rows = texts(LENGTHS)
    alone = torch.cat([attended_in_tiles([text]) for text in rows])
    assert len({row.numpy().tobytes() for row in alone}) == len(rows)
    generator = np.random.default_rng(3)
    for _ in range(10):
        order = generator.permutation(len(rows)).tolist()
        together = attended_in_tiles([rows[number] for number in order])
        assert together.numpy().tobytes() == alone[order].numpy().tobytes()
