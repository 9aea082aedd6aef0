"""The engine is built as the settings say, and a process whose engine has failed ends."""

import asyncio
from pathlib import Path

import pytest

from draft_service.config import DraftConfig
from paceline.engine.errors import EngineFailedError
from paceline.serving.config import ModelServiceConfig, read_config
from paceline.serving.model_host import engine_config, serve_while_it_computes
from paceline.serving.session import Session
from target_service.config import TargetConfig
from target_service.program import target_service
from tests.paceline.serving.rig import model_service

REQUIRED = ["--listen", "127.0.0.1:0", "--model", "m"]


async def test_a_failed_pass_ends_the_process_with_its_reason() -> None:
    async with model_service(target_service, Session) as rig:
        serving = asyncio.create_task(serve_while_it_computes(rig.server, rig.engine))
        await asyncio.sleep(0)
        rig.engine.failure = EngineFailedError(
            "The engine failed: out of memory. Go on with another replica."
        )
        with pytest.raises(EngineFailedError, match="out of memory"):
            await serving


async def test_a_request_to_stop_ends_it_without_an_error() -> None:
    async with model_service(target_service, Session) as rig:
        serving = asyncio.create_task(serve_while_it_computes(rig.server, rig.engine))
        rig.server.request_stop()
        await serving


def test_a_model_is_in_one_piece_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    assert engine_config(read_config(TargetConfig, REQUIRED), Path("m")).tensor_parallel == 1
    monkeypatch.setenv("PACELINE_TARGET_TENSOR_PARALLEL", "4")
    assert engine_config(read_config(TargetConfig, REQUIRED), Path("m")).tensor_parallel == 4


def test_how_exact_passes_are_computed_is_left_to_the_device_unless_told_otherwise() -> None:
    default = engine_config(read_config(TargetConfig, REQUIRED), Path("m"))
    assert (default.attention, default.cuda_graphs) == ("auto", "auto")
    flags = ["--attention", "strides", "--cuda-graphs", "off"]
    config = engine_config(read_config(TargetConfig, [*REQUIRED, *flags]), Path("m"))
    assert (config.attention, config.cuda_graphs) == ("strides", "off")


@pytest.mark.parametrize("config_class", [DraftConfig, TargetConfig])
def test_the_cache_is_kept_unless_told_otherwise(config_class: type[ModelServiceConfig]) -> None:
    default = engine_config(read_config(config_class, REQUIRED), Path("m"))
    assert (default.cache_update, default.kv_precision) == ("keep", "auto")
    flags = ["--kv-cache-update", "rebuild", "--kv-precision", "u4", "--batch-invariant", "prefer"]
    config = engine_config(read_config(config_class, [*REQUIRED, *flags]), Path("m"))
    assert (config.cache_update, config.kv_precision, config.batch_invariant) == ("rebuild", "u4", "prefer")
