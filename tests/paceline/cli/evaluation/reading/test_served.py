"""Engines as the services load them."""

from pathlib import Path

import pytest

from draft_service.config import DraftConfig
from paceline.cli.evaluation.reading.served import draft_engine, target_engine
from paceline.errors import ConfigError
from paceline.serving.model_host import engine_config
from target_service.config import TargetConfig

DIRECTORY = Path("some-model")
LISTEN = "127.0.0.1:0"


def as_target_service(cores: int) -> object:
    config = TargetConfig(listen=LISTEN, model=str(DIRECTORY), num_threads=cores)
    return engine_config(config, DIRECTORY)


def as_draft_service(cores: int) -> object:
    config = DraftConfig(listen=LISTEN, model=str(DIRECTORY), num_threads=cores)
    return engine_config(config, DIRECTORY, config.head)


def test_they_are_the_services_own() -> None:
    assert target_engine(DIRECTORY, frozenset({0, 1, 2})) == as_target_service(3)
    assert draft_engine(DIRECTORY, frozenset({0})) == as_draft_service(1)


def test_without_cores_there_is_a_thread_for_each_that_we_have() -> None:
    config = engine_config(TargetConfig(listen=LISTEN, model=str(DIRECTORY)), DIRECTORY)
    assert target_engine(DIRECTORY, None) == config


def test_the_environment_counts_as_it_does_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PACELINE_DRAFT_HEAD", "exact")
    monkeypatch.setenv("PACELINE_DRAFT_ACTIVATION_GROUP_SIZE", "64")
    monkeypatch.setenv("PACELINE_TARGET_KV_PRECISION", "f16")
    monkeypatch.setenv("PACELINE_TARGET_NUM_THREADS", "3")
    draft, target = draft_engine(DIRECTORY, frozenset({0})), target_engine(DIRECTORY, frozenset({0}))
    assert draft == as_draft_service(1)
    assert (draft.head, draft.activation_group_size) == ("exact", 64)
    assert (target.kv_precision, target.num_threads) == ("f16", 3)
    assert target == engine_config(TargetConfig(listen=LISTEN, model="m"), DIRECTORY)


def test_a_setting_that_they_would_refuse_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PACELINE_DRAFT_HEAD", "third")
    with pytest.raises(ConfigError, match="head"):
        draft_engine(DIRECTORY, None)
