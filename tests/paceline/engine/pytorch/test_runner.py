"""The torch engine as a whole: what it computes, what it chooses on the device, what it says of itself."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from paceline.engine.engine import Engine, EngineConfig
from paceline.engine.errors import BlocksExhaustedError, SelfTestError
from paceline.engine.model_runner import MIN_BLOCKS
from paceline.engine.self_test_record import FOLDER
from paceline.engine.work import Logits, TokenIds, Work
from paceline.errors import ConfigError
from paceline.sampling.parameters import SamplingParameters
from paceline.sampling.selector import RowSelector
from tests.paceline.engine.capture import logits_of, logits_together, run, submit_together
from tests.paceline.engine.engines import TORCH, TORCH_CPU, Where
from tests.paceline.engine.tiny_models import LLAMA, QWEN2, random_weights, stored_weights, write_prepared

torch = pytest.importorskip("torch", reason="torch is not installed (`make setup` installs it)")

from paceline.engine.pytorch.chooser import DeviceChooser  # noqa: E402

pytestmark = pytest.mark.reference

BYTES_PER_TOKEN = 2 * LLAMA.num_layers * LLAMA.num_kv_heads * LLAMA.head_size * 4
IDS = np.random.default_rng(7).integers(0, LLAMA.vocabulary_size, 200).tolist()


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    stored = stored_weights(random_weights(LLAMA), "f16")
    return write_prepared(tmp_path_factory.mktemp("tiny"), LLAMA, stored, "f16")


@pytest.fixture(params=TORCH)
def where(request: pytest.FixtureRequest) -> Where:
    request.param.require()
    return request.param


def load(directory: Path, where: Where, **options: Any) -> Engine:
    options = {"kv_cache_bytes": 4 << 20, "compute_precision": "f32", **options}
    config = EngineConfig(directory, num_threads=1, engine=where.engine, device=where.device, **options)
    return Engine.load(config)


def load_choosing_on_device(directory: Path, where: Where) -> Engine:
    """On CPUs too, where the host would be quicker."""
    engine = load(directory, where)
    engine._runner._chooser = DeviceChooser(torch.device(where.device))  # pyright: ignore[reportAttributeAccessIssue]
    return engine


def test_what_is_loaded_is_described(tiny: Path, where: Where) -> None:
    with load(tiny, where) as engine:
        info = engine.info
    assert (info.name, info.family, info.weights) == ("tiny", "llama", "f16")
    assert info.device.startswith(where.device)
    assert (info.compute_precision, info.kv_precision) == ("f32", "f32")
    assert (info.vocabulary_size, info.max_context_tokens) == (LLAMA.vocabulary_size, 256)
    assert info.kv_bytes_per_token == BYTES_PER_TOKEN
    assert info.self_test.batch_invariant
    assert info.self_test.min_rows == 1


def test_the_verdict_on_a_prepared_model_is_remembered(tiny: Path) -> None:
    load(tiny, TORCH_CPU).close()
    records = set((tiny / FOLDER).iterdir())
    load(tiny, TORCH_CPU).close()
    assert set((tiny / FOLDER).iterdir()) == records
    load(tiny, TORCH_CPU, kv_precision="bf16").close()
    assert set((tiny / FOLDER).iterdir()) > records


def test_kv_in_half_the_precision_takes_half_the_memory_and_stays_exact(tiny: Path, where: Where) -> None:
    with load(tiny, where, kv_precision="bf16") as engine:
        assert engine.info.kv_bytes_per_token == BYTES_PER_TOKEN / 2
        assert engine.info.self_test.batch_invariant


def test_a_cache_too_small_for_the_self_test_is_refused(tiny: Path) -> None:
    num_bytes = MIN_BLOCKS * 32 * BYTES_PER_TOKEN
    with pytest.raises(BlocksExhaustedError, match=f"give at least {num_bytes}"):
        load(tiny, TORCH_CPU, kv_cache_bytes=num_bytes - 1)
    load(tiny, TORCH_CPU, kv_cache_bytes=num_bytes).close()


def test_logits_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    weights = random_weights(QWEN2)
    weights["output_norm"][0] = np.inf
    write_prepared(tmp_path, QWEN2, stored_weights(weights, "f32"), "f32")
    with pytest.raises(SelfTestError) as caught:
        load(tmp_path, TORCH_CPU)
    assert caught.value.facts == {"check": "finite logits"}


@pytest.mark.parametrize(
    ("options", "setting"), [({"kv_precision": "u8"}, "kv_precision"), ({"device": "NPU"}, "device")]
)
def test_what_the_engine_does_not_have_is_named(tiny: Path, options: dict[str, str], setting: str) -> None:
    config = EngineConfig(tiny, 1 << 20, num_threads=1, engine="torch", **options)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ConfigError) as caught:
        Engine.load(config)
    assert caught.value.facts == {"setting": setting}


def test_long_prompts_and_short_ones_meet_in_one_pass(tiny: Path, where: Where) -> None:
    """Rows on both sides of where the cache's strides and the tiles end."""
    prompts = [IDS[:length] for length in (1, 16, 17, 64, 200)]
    with load(tiny, where, max_rows_per_step=512) as engine:
        alone = [logits_of(engine, engine.open_sequence(), 0, prompt) for prompt in prompts]
    with load(tiny, where, max_rows_per_step=512) as engine:
        together, num_sessions = logits_together(engine, prompts)
    assert num_sessions >= 3
    for logits, expected in zip(together, alone, strict=True):
        assert logits.tobytes() == expected.tobytes()


class OnTheHost:
    """The same selector, without saying how it chooses: the host must then."""

    def __init__(self, selector: RowSelector) -> None:
        self._selector = selector
        self.num_rows = 0

    def __call__(self, logits: Logits, positions: TokenIds, token_ids: Sequence[int]) -> TokenIds:
        self.num_rows += len(logits)
        return self._selector(logits, positions, token_ids)


@pytest.mark.parametrize(
    "sampling",
    [
        SamplingParameters(),
        SamplingParameters(temperature=1.0, seed=3),
        SamplingParameters(temperature=0.3, seed=2**64 - 1),
        SamplingParameters(temperature=1.5, seed=5, top_k=7),
        SamplingParameters(temperature=1.2, seed=6, top_p=0.8),
        SamplingParameters(temperature=1.2, seed=7, min_p=0.05),
        SamplingParameters(temperature=2.0, seed=8, top_k=50, top_p=0.9, min_p=0.01),
    ],
    ids=repr,
)
def test_the_device_chooses_the_ids_that_the_host_would(
    tiny: Path, where: Where, sampling: SamplingParameters
) -> None:
    with load_choosing_on_device(tiny, where) as engine:
        on_device = RowSelector(sampling)
        drawn = run(
            engine, engine.open_sequence(), 0, IDS[:20], num_selected=20, num_drawn=60, selector=on_device
        )
        on_host = OnTheHost(RowSelector(sampling))
        again = run(
            engine, engine.open_sequence(), 0, IDS[:20], num_selected=20, num_drawn=60, selector=on_host
        )
    assert on_host.num_rows == 80
    assert drawn.selected_ids.tolist() == again.selected_ids.tolist()
    assert drawn.drawn_ids.tolist() == again.drawn_ids.tolist()


def test_sessions_that_choose_in_different_ways_share_a_pass(tiny: Path, where: Where) -> None:
    ways = [
        SamplingParameters(),
        SamplingParameters(temperature=0.9, seed=1),
        SamplingParameters(temperature=0.9, seed=1, repetition_penalty=1.3, num_prompt_tokens=5),
        SamplingParameters(temperature=0.7, seed=2, top_p=0.9, num_logprobs=2),
    ]

    def works(engine: Engine) -> list[Work]:
        return [
            Work(engine.open_sequence(), 0, np.array(IDS[:5]), 1, num_drawn=20, selector=RowSelector(way))
            for way in ways
        ]

    with load_choosing_on_device(tiny, where) as engine:
        alone = [engine.submit(work).future.result().drawn_ids.tolist() for work in works(engine)]
        together = [
            handle.future.result().drawn_ids.tolist() for handle in submit_together(engine, works(engine))
        ]
    assert together == alone
