"""What the KV of a token takes, against what the compiled model says."""

from dataclasses import replace
from pathlib import Path

import pytest

from paceline.cli.evaluation.reading.kv_layout import (
    BLOCK_TOKENS,
    kv_bytes_per_block,
    kv_bytes_per_token,
    num_blocks_of,
    sessions_in,
)
from paceline.engine.graph.architecture import Architecture
from paceline.engine.runner import Runner, RunnerConfig, load_model
from paceline.errors import ConfigError
from tests.paceline.engine.tiny_models import LLAMA, QWEN2, random_weights, stored_weights, write_prepared

WIDER = replace(QWEN2, num_layers=3, num_heads=4, num_kv_heads=1, head_size=64)
SMOLLM2 = replace(LLAMA, num_layers=30, num_kv_heads=3, num_heads=9, head_size=64)
QWEN_15B = replace(QWEN2, num_layers=28, num_kv_heads=2, num_heads=12, head_size=128)


@pytest.mark.parametrize("architecture", [LLAMA, WIDER], ids=["llama", "wider"])
@pytest.mark.parametrize("precision", ["f32", "f16", "u8", "u4"])
def test_the_architecture_alone_tells_what_the_compiled_model_lays_out(
    architecture: Architecture, precision: str, tmp_path: Path
) -> None:
    write_prepared(tmp_path, architecture, stored_weights(random_weights(architecture), "f32"), "f32")
    _, build = load_model(tmp_path)
    runner = Runner(build(), RunnerConfig("CPU", "f32", precision, 1, 4 << 20), weights=build)
    assert runner.block_size == BLOCK_TOKENS
    assert runner.num_blocks == (4 << 20) // kv_bytes_per_block(architecture, precision)
    assert runner.kv_bytes_per_token == kv_bytes_per_block(architecture, precision) // BLOCK_TOKENS


@pytest.mark.parametrize(
    ("architecture", "precision", "num_bytes"),
    [
        (SMOLLM2, "f32", 46_080),
        (SMOLLM2, "bf16", 23_040),
        (SMOLLM2, "u8", 13_680),
        (QWEN_15B, "bf16", 28_672),
    ],
)
def test_known_models(architecture: Architecture, precision: str, num_bytes: int) -> None:
    assert kv_bytes_per_token(architecture, precision) == num_bytes


def test_an_unknown_precision_is_refused() -> None:
    with pytest.raises(ConfigError, match="f8"):
        kv_bytes_per_block(LLAMA, "f8")


def test_sessions_hold_whole_blocks_and_one_block_is_the_engines_own() -> None:
    assert [num_blocks_of(number) for number in (1, 32, 33)] == [1, 1, 2]
    assert sessions_in(budget_bytes=21 * 100, num_tokens=33, block_bytes=100) == 10
    assert sessions_in(budget_bytes=20 * 100, num_tokens=33, block_bytes=100) == 9
    assert sessions_in(budget_bytes=10, num_tokens=33, block_bytes=100) == 0
