"""Compiled attention reads blocks where they lie, and computes what the plain one does; a row's bits are its own.

On CPUs that is another kernel than on CUDA devices, behind the same mask, tables and layout of heads.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from structlog.testing import capture_logs

torch = pytest.importorskip("torch", reason="torch is not installed (`make setup` installs it)")
pytest.importorskip("transformers", reason="transformers is not installed (`make setup` installs it)")

from torch import Generator, Tensor  # noqa: E402

from paceline.engine.batch import Rows, split_batch  # noqa: E402
from paceline.engine.engine import Engine, EngineConfig  # noqa: E402
from paceline.engine.pytorch import tile_attention  # noqa: E402
from paceline.engine.pytorch.attention import BLOCKS_PER_STRIDE, PagedAttention, StridedAttention  # noqa: E402
from paceline.engine.pytorch.flex_attention import FlexAttention  # noqa: E402
from paceline.engine.pytorch.graphs import as_it_is  # noqa: E402
from paceline.engine.pytorch.kv_cache import BLOCK_SIZE, KeysValues, KvCache, KvShape  # noqa: E402
from paceline.engine.pytorch.layout import Tile, tiles  # noqa: E402
from paceline.engine.pytorch.tile_attention import Trial, choose_attention  # noqa: E402
from paceline.engine.pytorch.tile_forwards import StandingForward  # noqa: E402
from paceline.errors import ConfigError  # noqa: E402
from tests.paceline.engine.capture import logits_of, logits_together  # noqa: E402
from tests.paceline.engine.pytorch.devices import DEVICES  # noqa: E402
from tests.paceline.engine.pytorch.flex_here import require_flex  # noqa: E402
from tests.paceline.engine.tiny_models import LLAMA, random_weights, stored_weights, write_prepared  # noqa: E402

pytestmark = [pytest.mark.reference, pytest.mark.usefixtures("flex")]

# Those of the tiny model on a CPU, so that one kernel serves this file: compiling one takes seconds.
HEADS, KV_HEADS, HEAD_SIZE = LLAMA.num_heads, LLAMA.num_kv_heads, LLAMA.head_size
TILE_ROWS, NUM_BLOCKS = 16, 62
WIDTH = 64  # of tables that hold all blocks, in whole strides
SCALING = HEAD_SIZE**-0.5
LENGTHS = [1, 31, 32, 33, 127, 128, 129, 300]
IDS = np.random.default_rng(7).integers(0, LLAMA.vocabulary_size, 200).tolist()
TOLERANCE = {torch.float32: 1e-5, torch.float16: 4e-3, torch.bfloat16: 3e-2}


@pytest.fixture(scope="module")
def flex() -> None:
    require_flex()


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """As in the engine below: for another number of threads the kernel is compiled anew."""
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(num_threads)


class Rig:
    """A full cache, and sequences in blocks that lie anywhere in it."""

    def __init__(
        self,
        heads: int = HEADS,
        kv_heads: int = KV_HEADS,
        dtype: Any = torch.float32,
        device: Any = "cpu",
        lengths: list[int] = LENGTHS,
    ) -> None:
        self._lengths = lengths
        self.device = torch.device(device)
        self._heads, self._kv_heads, self._dtype = heads, kv_heads, dtype
        self._generator = Generator().manual_seed(0)
        self.cache = KvCache(KvShape(1, kv_heads, HEAD_SIZE, dtype), NUM_BLOCKS, self.device)
        everything = torch.arange(NUM_BLOCKS * BLOCK_SIZE, device=self.device)
        self.cache.write(0, everything, KeysValues(*(self._drawn(len(everything), kv_heads) for _ in "kv")))
        order = iter(np.random.default_rng(0).permutation(np.arange(1, NUM_BLOCKS)).tolist())
        self.tables = [[next(order) for _ in range(-(-length // BLOCK_SIZE))] for length in lengths]
        self._query = self._drawn(len(lengths), heads)
        self._own = KeysValues(*(self._drawn(len(lengths), kv_heads) for _ in "kv"))

    def attended(self, texts: list[int], attention: type[FlexAttention] | type[StridedAttention]) -> Tensor:
        """Of the last tokens of some texts, by their numbers, in one tile [num_texts, num_heads, head_size]."""
        rows = [Rows([0], self._lengths[number] - 1, self.tables[number], 1) for number in texts]
        [tile] = tiles(split_batch(rows, 1, BLOCK_SIZE), TILE_ROWS, BLOCKS_PER_STRIDE, self.device)
        made: list[Tensor] = []

        def compute(standing: Tile) -> None:
            begun: PagedAttention = attention(self.cache, standing)
            query = self._in_tile(self._query, texts)
            own = KeysValues(*(self._in_tile(one, texts) for one in self._own))
            made.append(begun.attend(0, query, own, SCALING))

        with torch.inference_mode():
            StandingForward(compute, TILE_ROWS, WIDTH, self.device, as_it_is).run(tile)
        return made[-1][: len(texts)]

    def _in_tile(self, rows: Tensor, texts: list[int]) -> Tensor:
        filled = torch.zeros(TILE_ROWS, *rows.shape[1:], dtype=rows.dtype, device=rows.device)
        filled[: len(texts)] = rows[texts]
        return filled

    def _drawn(self, num_rows: int, num_heads: int) -> Tensor:
        drawn = torch.randn(num_rows, num_heads, HEAD_SIZE, generator=self._generator)
        return drawn.to(self.device, self._dtype)


def bits(rows: Tensor) -> list[bytes]:
    return [row.float().cpu().numpy().tobytes() for row in rows]


ALL = list(range(len(LENGTHS)))


def require_right_rows(rig: Rig, dtype: Any = torch.float32) -> None:
    """Rows are those of the plain attention, and have the same bits in any company and at any place."""
    attended = rig.attended(ALL, FlexAttention)
    expected = rig.attended(ALL, StridedAttention)
    torch.testing.assert_close(attended, expected, rtol=0, atol=TOLERANCE[dtype])
    alone = [bits(rig.attended([number], FlexAttention))[0] for number in ALL]
    assert bits(attended) == alone
    assert len(set(alone)) == len(alone)
    order = np.random.default_rng(3)
    for _ in range(5):
        texts = order.permutation(ALL)[: order.integers(2, len(ALL) + 1)].tolist()
        assert bits(rig.attended(texts, FlexAttention)) == [alone[number] for number in texts]


def test_rows_of_all_lengths_are_those_of_the_plain_attention_and_their_bits_their_own() -> None:
    require_right_rows(Rig())


@pytest.mark.slow
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize(("heads", "kv_heads"), [(4, 4), (4, 2), (6, 2), (7, 1)])
def test_heads_may_share_keys_in_groups_of_any_size(
    heads: int, kv_heads: int, dtype: Any, device: Any
) -> None:
    torch.compiler.reset()  # so that many shapes do not count as one that keeps changing
    require_right_rows(Rig(heads, kv_heads, dtype, device), dtype)


def test_a_row_has_the_same_bits_in_other_blocks() -> None:
    rig = Rig()
    before = bits(rig.attended(ALL, FlexAttention))
    number = len(LENGTHS) - 1
    taken = {block for table in rig.tables for block in table}
    free = [block for block in range(1, NUM_BLOCKS) if block not in taken]
    moved = free[: len(rig.tables[number])]
    for source, destination in zip(rig.tables[number], moved, strict=True):
        rig.cache.copy_block(source, destination)
    rig.tables[number] = moved
    assert bits(rig.attended(ALL, FlexAttention)) == before


def test_one_row_may_fill_the_whole_cache() -> None:
    rig = Rig(lengths=[(NUM_BLOCKS - 1) * BLOCK_SIZE])
    attended, expected = (rig.attended([0], attention) for attention in (FlexAttention, StridedAttention))
    torch.testing.assert_close(attended, expected, rtol=0, atol=TOLERANCE[torch.float32])


def test_what_lies_behind_a_row_is_not_seen() -> None:
    rig = Rig()
    before = bits(rig.attended(ALL, FlexAttention))
    behind = [
        rig.tables[number][-1] * BLOCK_SIZE + place
        for number, length in enumerate(LENGTHS)
        for place in range((length - 1) % BLOCK_SIZE + 1, BLOCK_SIZE)
    ]
    huge = torch.full((len(behind), KV_HEADS, HEAD_SIZE), 1e4)
    rig.cache.write(0, torch.tensor(behind), KeysValues(huge, huge))
    assert bits(rig.attended(ALL, FlexAttention)) == before


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    stored = stored_weights(random_weights(LLAMA), "f16")
    return write_prepared(tmp_path_factory.mktemp("tiny"), LLAMA, stored, "f16")


def load(directory: Path, **options: Any) -> Engine:
    kv_cache_bytes = NUM_BLOCKS * BLOCK_SIZE * 2 * LLAMA.num_layers * KV_HEADS * HEAD_SIZE * 4
    options = {"compute_precision": "f32", "attention": "flex", "self_test": "always", **options}
    return Engine.load(EngineConfig(directory, kv_cache_bytes, 1, engine="torch", device="cpu", **options))


def test_the_engine_computes_the_same_as_with_strides_and_promises_its_bits(tiny: Path) -> None:
    """The self-test, which is required here, rolls back, rebuilds, and computes rows beside others."""
    prompts = [IDS[:length] for length in (1, 17, 64, 200)]
    with load(tiny, attention="strides") as engine:
        expected = [logits_of(engine, engine.open_sequence(), 0, prompt) for prompt in prompts]
    with load(tiny, max_rows_per_step=512) as engine:
        assert engine.info.self_test.batch_invariant
        alone = [logits_of(engine, engine.open_sequence(), 0, prompt) for prompt in prompts]
        together, num_sessions = logits_together(engine, prompts)
    assert num_sessions >= 3
    for logits, own, plain in zip(together, alone, expected, strict=True):
        assert logits.tobytes() == own.tobytes()
        np.testing.assert_allclose(own, plain, rtol=0, atol=1e-4)


def test_a_cache_that_the_kernel_cannot_read_is_refused_where_it_is_demanded(tiny: Path) -> None:
    with pytest.raises(ConfigError, match='Choose attention "strides" or "auto"') as caught:
        load(tiny, kv_precision="bf16")
    assert caught.value.facts == {"setting": "attention"}


def test_an_attention_for_tiles_is_refused_where_there_are_none(tiny: Path) -> None:
    with pytest.raises(ConfigError, match="do not depend on the batch"):
        load(tiny, batch_invariant="off")


def test_without_a_compiler_a_cuda_device_computes_with_strides_and_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("Failed to find C compiler")

    monkeypatch.setattr(tile_attention, "_try_flex", refuse)
    trial = Trial(TILE_ROWS, HEADS, torch.float32, SCALING, torch.device("cuda"))
    with capture_logs() as logs:
        assert choose_attention("auto", Rig().cache, trial).name == "strides"
    [warning] = [one for one in logs if one["event"] == "attention_strides_in_place_of_flex"]
    assert "Failed to find C compiler" in warning["message"]


def test_on_cpus_the_plain_attention_is_the_default() -> None:
    trial = Trial(TILE_ROWS, HEADS, torch.float32, SCALING, torch.device("cpu"))
    assert choose_attention("auto", Rig().cache, trial).name == "strides"
