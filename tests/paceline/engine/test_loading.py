"""Loading a prepared directory: what is refused, what is reported."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from paceline.engine.engine import Engine, EngineConfig
from paceline.engine.errors import BlocksExhaustedError, SelfTestError, UnsupportedModelError
from paceline.engine.graph.manifest import EXPORTED_FILE, WEIGHTS_FILE, Manifest
from paceline.engine.graph.weights import FAST_HEAD, quantize
from paceline.engine.model_runner import MIN_BLOCKS
from paceline.engine.work import Work
from paceline.errors import ConfigError
from paceline.models.catalog import SMOLLM2_135M
from paceline.models.prepare import prepare
from tests.paceline.engine.capture import logits_of, run
from tests.paceline.engine.tiny_models import LLAMA, QWEN2, random_weights, stored_weights, write_prepared

BYTES_PER_TOKEN = 2 * LLAMA.num_layers * LLAMA.num_kv_heads * LLAMA.head_size * 4  # keys and values in f32


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    stored = stored_weights(random_weights(LLAMA), "int8")
    return write_prepared(tmp_path_factory.mktemp("tiny"), LLAMA, stored, "int8")


def load(directory: Path, **options: Any) -> Engine:
    options = {"kv_cache_bytes": 1 << 20, **options}
    return Engine.load(EngineConfig(directory, num_threads=1, **options))


def test_what_is_loaded_is_described(tiny: Path) -> None:
    with load(tiny) as engine:
        info = engine.info
    assert (info.name, info.family, info.weights, info.device) == ("tiny", "llama", "int8", "CPU")
    assert (info.compute_precision, info.kv_precision) == ("f32", "f32")
    assert (info.vocabulary_size, info.max_context_tokens) == (
        LLAMA.vocabulary_size,
        LLAMA.max_context_tokens,
    )
    assert info.kv_bytes_per_token == BYTES_PER_TOKEN
    num_blocks = (1 << 20) // BYTES_PER_TOKEN // 32
    assert info.kv_capacity_tokens == 32 * (num_blocks - 1)
    assert info.self_test.batch_invariant
    assert info.numerics_digest == info.self_test.numerics_digest


@pytest.mark.parametrize(
    ("options", "max_context_tokens"),
    [
        ({"max_context_tokens": 100}, 100),
        ({"max_context_tokens": 1000}, 256),
    ],
)
def test_the_context_is_held_to_model_cache_and_wish(
    tiny: Path, options: dict[str, int], max_context_tokens: int
) -> None:
    with load(tiny, **options) as engine:
        assert engine.info.max_context_tokens == max_context_tokens


def test_a_cache_too_small_for_the_self_test_is_refused(tiny: Path) -> None:
    num_bytes = MIN_BLOCKS * 32 * BYTES_PER_TOKEN
    with pytest.raises(BlocksExhaustedError, match=f"give at least {num_bytes}") as caught:
        load(tiny, kv_cache_bytes=num_bytes - 1)
    assert caught.value.facts == {"num_total": MIN_BLOCKS - 1}
    load(tiny, kv_cache_bytes=num_bytes).close()


@pytest.mark.parametrize("batch_invariant", ["require", "prefer", "off"])
def test_logits_that_are_not_finite_are_refused_whatever_is_promised(
    tmp_path: Path, batch_invariant: str
) -> None:
    weights = random_weights(QWEN2)
    weights["output_norm"][0] = np.inf
    write_prepared(tmp_path, QWEN2, stored_weights(weights, "f32"), "f32")
    with pytest.raises(SelfTestError) as caught:
        load(tmp_path, batch_invariant=batch_invariant)
    assert caught.value.facts == {"check": "finite logits"}


def test_u8_kv_is_reported_as_not_batch_invariant_on_a_real_model() -> None:
    directory = prepare(SMOLLM2_135M.name, "int8")
    options = {"kv_precision": "u8", "kv_cache_bytes": 16 << 20}
    with load(directory, batch_invariant="prefer", **options) as engine:
        assert engine.info.kv_precision == "u8"
        assert not engine.info.self_test.batch_invariant
        assert engine.info.self_test.failed_checks == ("one row a pass",)


@pytest.mark.parametrize("kv_precision", ["u8", "u4"])
def test_a_model_whose_logits_depend_on_the_batch_is_not_loaded_where_exactness_is_required(
    tiny: Path, kv_precision: str
) -> None:
    with pytest.raises(SelfTestError, match=f"{kv_precision} KV depend on the batch") as caught:
        load(tiny, kv_precision=kv_precision)
    assert caught.value.facts == {"check": "one row a pass"}
    assert 'Choose kv_precision "auto", or batch_invariant "prefer" or "off"' in caught.value.message


@pytest.mark.parametrize("batch_invariant", ["prefer", "off"])
@pytest.mark.parametrize(("kv_precision", "least_saving"), [("u8", 2), ("u4", 3)])
def test_quantised_kv_is_loaded_and_reported_where_no_exactness_is_required(
    tiny: Path, kv_precision: str, least_saving: float, batch_invariant: str
) -> None:
    with load(tiny, kv_precision=kv_precision, batch_invariant=batch_invariant) as engine:
        info = engine.info
        ids = run(engine, engine.open_sequence(), 0, range(40), num_selected=1, num_drawn=30).drawn_ids
    assert (info.kv_precision, info.self_test.batch_invariant, len(ids)) == (kv_precision, False, 30)
    assert info.kv_bytes_per_token <= BYTES_PER_TOKEN / least_saving


@pytest.mark.parametrize("kv_precision", ["f32", "f16", "u8", "u4"])
def test_a_shared_block_is_copied_whole_in_each_precision(tiny: Path, kv_precision: str) -> None:
    with load(tiny, kv_precision=kv_precision, batch_invariant="off") as engine:
        source = engine.open_sequence()
        run(engine, source, 0, range(40))
        forked = engine.fork_sequence(source)
        of_fork, of_source = (logits_of(engine, one, 40, [50]) for one in (forked, source))
        assert forked.blocks[1] != source.blocks[1]
    assert of_fork.tobytes() == of_source.tobytes()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"compute_precision": "f32", "kv_precision": "bf16"}, ["f32", "bf16", "kv_precision"]),
        ({"compute_precision": "f32", "kv_precision": "i3"}, ["i3 KV", "kv_precision"]),
        ({"compute_precision": "f32", "device": "NOWHERE"}, ["NOWHERE", "device"]),
    ],
)
def test_precisions_that_the_device_does_not_have_are_named(
    tiny: Path, options: dict[str, str], words: list[str]
) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tiny, **options)
    assert [word for word in words if word not in caught.value.message] == []
    assert "\n" not in caught.value.message


def test_missing_weights_are_named(tmp_path: Path) -> None:
    stored = stored_weights(random_weights(LLAMA), "f16")
    del stored["blk.1.ffn_up"]
    write_prepared(tmp_path, LLAMA, stored, "f16")
    with pytest.raises(UnsupportedModelError, match=r"lacks the weights 'blk\.1\.ffn_up") as caught:
        load(tmp_path)
    assert caught.value.facts == {"path": str(tmp_path)}


def test_a_directory_without_its_weights_is_refused(tmp_path: Path) -> None:
    Manifest("tiny", "f16", "built", LLAMA, "tests").write(tmp_path)
    with pytest.raises(UnsupportedModelError, match=WEIGHTS_FILE):
        load(tmp_path)


@pytest.mark.parametrize("content", [None, "<net/>", "no xml"])
def test_an_exported_graph_that_cannot_be_read_is_refused(tmp_path: Path, content: str | None) -> None:
    Manifest("tiny", "f16", "exported", LLAMA, "tests").write(tmp_path)
    if content is not None:
        (tmp_path / EXPORTED_FILE).write_text(content, encoding="utf-8")
    with pytest.raises(UnsupportedModelError, match=EXPORTED_FILE):
        load(tmp_path)


def test_weights_of_another_shape_are_refused(tmp_path: Path) -> None:
    stored = stored_weights(random_weights(LLAMA), "f16")
    write_prepared(tmp_path, replace(LLAMA, num_kv_heads=4), stored, "f16")
    with pytest.raises(UnsupportedModelError, match="do not fit"):
        load(tmp_path)


def test_a_draft_may_choose_by_the_fast_head_of_int4_weights(tmp_path: Path) -> None:
    """The fast head is that of another model here, so that its choices show."""
    weights = random_weights(QWEN2)
    other_head = random_weights(QWEN2, seed=1)["token_embd"]
    stored = stored_weights(weights, "int4")
    both = write_prepared(tmp_path, QWEN2, stored | quantize(FAST_HEAD, other_head, "int4"), "int4")
    exact_ids, fast_ids = chosen_ids(both, head="exact"), chosen_ids(both, head="fast")
    assert exact_ids != fast_ids
    write_prepared(tmp_path, QWEN2, stored, "int4")
    assert chosen_ids(tmp_path, head="fast") == chosen_ids(tmp_path, head="exact") == exact_ids
    untied = replace(QWEN2, has_tied_head=False)
    write_prepared(tmp_path, untied, stored | quantize("output", other_head, "int4"), "int4")
    assert chosen_ids(tmp_path, head="exact") == fast_ids


@pytest.mark.parametrize("activation_group_size", [0, 32, 64])
def test_rows_are_batch_invariant_with_every_group_size_of_activations(
    tiny: Path, activation_group_size: int
) -> None:
    with load(tiny, activation_group_size=activation_group_size, self_test="always") as engine:
        assert engine.info.self_test.batch_invariant


def chosen_ids(directory: Path, **options: Any) -> list[int]:
    """The greedy id after each row of a short text."""
    with load(directory, **options) as engine:
        work = Work(engine.open_sequence(), 0, np.arange(40), num_selected=40)
        return engine.submit(work).future.result().selected_ids.tolist()
