"""Captured forwards compute what those do that are started anew, for every family."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from structlog.testing import capture_logs

torch = pytest.importorskip("torch", reason="torch is not installed (`make setup` installs it)")
pytest.importorskip("transformers", reason="transformers is not installed (`make setup` installs it)")

from torch import Tensor  # noqa: E402

from paceline.engine.batch import Rows, split_batch  # noqa: E402
from paceline.engine.pytorch.families import SUPPORTED_FAMILIES  # noqa: E402
from paceline.engine.pytorch.graphs import Capture, as_it_is, choose_capture  # noqa: E402
from paceline.engine.pytorch.kv_cache import BLOCK_SIZE  # noqa: E402
from paceline.engine.pytorch.loading import LoadedModel, LoadOptions, load_torch_model  # noqa: E402
from paceline.engine.pytorch.runner import TorchRunner, TorchRunnerConfig  # noqa: E402
from paceline.engine.pytorch.tile_forwards import doubling_widths  # noqa: E402
from paceline.engine.work import Logits  # noqa: E402
from tests.paceline.engine.pytorch.recorded import record  # noqa: E402
from tests.paceline.engine.pytorch.tiny_hub_models import SIZES, tiny_hub_model  # noqa: E402

pytestmark = pytest.mark.reference

CPU = torch.device("cpu")
OPTIONS = LoadOptions(CPU, torch.float32, "f16")
TILE_ROWS, NUM_BLOCKS = 16, 24
IDS = np.random.default_rng(5).integers(0, SIZES["vocab_size"], 200).tolist()
# Angles that transformers would choose by the last position of a pass.
_WATCHED_ROTATIONS: dict[str, dict[str, Any]] = {
    "dynamic": {"rope_type": "dynamic", "rope_theta": 10_000.0, "factor": 2.0},
    "longrope": {
        "rope_type": "longrope",
        "rope_theta": 10_000.0,
        "short_factor": [1.0 + 0.1 * at for at in range(8)],
        "long_factor": [2.0 + 0.5 * at for at in range(8)],
        "original_max_position_embeddings": 256,
    },
}


def runner_of(loaded: LoadedModel, capture: Capture | None) -> TorchRunner:
    shape = loaded.shape
    num_bytes = NUM_BLOCKS * BLOCK_SIZE * 2 * shape.num_layers * shape.num_kv_heads * shape.head_size * 4
    return TorchRunner(loaded, TorchRunnerConfig(CPU, torch.float32, num_bytes, TILE_ROWS, capture=capture))


def passes() -> list[list[Rows]]:
    """A prompt of several tiles, one that needs wider tables, both again beside each other, and rows over rows."""
    short, long = list(range(1, 4)), list(range(4, 11))
    return [
        [Rows(IDS[:70], 0, short, 1)],
        [Rows(IDS[:199], 0, long, 7)],
        [Rows(IDS[70:73], 70, short, 3), Rows(IDS[199:200], 199, long, 1)],
        [Rows(IDS[3:5], 71, short, 0)],
        [Rows(IDS[71:73], 71, short, 2)],
    ]


def logits_of(runner: TorchRunner) -> list[Logits]:
    batches = [split_batch(parts, 1, BLOCK_SIZE) for parts in passes()]
    return [runner.forward(batch)[: batch.num_logits].copy() for batch in batches]


def bits(logits: list[Logits]) -> list[bytes]:
    return [one.tobytes() for one in logits]


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Threads that wait for each other cost more than models so small."""
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(num_threads)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return load_torch_model(tiny_hub_model("llama", tmp_path_factory.mktemp("tiny")), OPTIONS)


@pytest.mark.parametrize("family", SUPPORTED_FAMILIES)
def test_forwards_of_every_family_read_no_data_back_and_can_be_replayed(family: str, tmp_path: Path) -> None:
    loaded = load_torch_model(tiny_hub_model(family, tmp_path), OPTIONS)
    expected = logits_of(runner_of(loaded, None))
    runner = runner_of(loaded, record)
    assert runner.num_graphs == 6, "tables of 4, 8 and 16 blocks, with logits and without"
    assert bits(logits_of(runner)) == bits(expected)
    assert bits(logits_of(runner)) == bits(expected), "they leave nothing behind"


@pytest.mark.parametrize("rope_type", _WATCHED_ROTATIONS)
def test_angles_that_follow_positions_stay_as_they_were_loaded(rope_type: str, tmp_path: Path) -> None:
    family = "phi3" if rope_type == "longrope" else "llama"
    directory = tiny_hub_model(family, tmp_path, rope_parameters=_WATCHED_ROTATIONS[rope_type])
    loaded = load_torch_model(directory, OPTIONS)
    ids = torch.tensor([IDS[:70]])
    with torch.inference_mode():
        loaded.model.set_attn_implementation("eager")
        expected = loaded.model(ids).logits[0, -1].numpy()
        loaded.model.set_attn_implementation("paceline_paged")
    runner = runner_of(loaded, record)
    assert runner.num_graphs
    np.testing.assert_allclose(logits_of(runner)[0][0], expected, rtol=0, atol=1e-4)


def test_logits_of_several_tiles_are_those_of_each(tiny: LoadedModel) -> None:
    runner = runner_of(tiny, None)
    blocks, num_rows = [1, 2], 2 * TILE_ROWS + 3
    batch = split_batch([Rows(IDS[:num_rows], 0, blocks, num_rows)], 1, BLOCK_SIZE)
    together = runner.forward(batch)[:num_rows].copy()
    for position in (0, TILE_ROWS - 1, TILE_ROWS, num_rows - 1):
        row = Rows([IDS[position]], position, blocks, 1)
        alone = runner.forward(split_batch([row], 1, BLOCK_SIZE))[:1]
        assert alone[0].tobytes() == together[position].tobytes()


def test_tables_wider_than_any_graph_are_computed_without_one(
    tiny: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = logits_of(runner_of(tiny, None))
    monkeypatch.setattr("paceline.engine.pytorch.tile_attention._MOST_CAPTURED_STRIDES", 1)
    runner = runner_of(tiny, record)
    assert runner.num_graphs == 2
    assert bits(logits_of(runner)) == bits(expected)


def test_a_forward_that_cannot_be_captured_is_started_anew(tiny: LoadedModel) -> None:
    seen: list[Tensor] = []

    def refuse(compute: Callable[[], None]) -> Callable[[], None]:
        if seen:
            raise RuntimeError("operation not permitted when stream is capturing")
        seen.append(torch.empty(0))
        return as_it_is(compute)

    with capture_logs() as logs:
        runner = runner_of(tiny, refuse)
    [warning] = [one for one in logs if one["event"] == "no_cuda_graphs"]
    assert "not permitted when stream is capturing" in warning["message"]
    assert runner.num_graphs == 0
    assert bits(logits_of(runner)) == bits(logits_of(runner_of(tiny, None)))


def test_data_that_is_read_back_is_noticed() -> None:
    """So that the tests above mean something."""
    with pytest.raises(RuntimeError, match="depends on data"):
        record(lambda: print(torch.ones(2).max().item()))
    with pytest.raises(RuntimeError, match="depends on data"):
        record(lambda: print(torch.ones(2).nonzero()))


def test_graphs_are_for_cuda_devices_and_for_models_in_one_piece() -> None:
    assert choose_capture(CPU, "auto", is_sliced=False) is None
    assert choose_capture(torch.device("cuda"), "off", is_sliced=False) is None
    assert choose_capture(torch.device("cuda"), "auto", is_sliced=True) is None


def test_widths_double() -> None:
    assert doubling_widths(4, 20) == (4, 8, 16)
    assert doubling_widths(4, 16) == (4, 8, 16)
    assert doubling_widths(4, 3) == (4,)
