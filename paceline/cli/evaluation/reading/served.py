"""The engines of both services, as these load them.

The library imports no program, so that the options in which the programs differ are written down once more here; a test
compares them. The environment counts as it does for the services, which inherit it.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Literal

from pydantic_settings import SettingsConfigDict

from paceline.engine.engine import EngineConfig
from paceline.local.core_assignment import Cores
from paceline.serving.config import ModelServiceConfig, WeightsFormat, read_config
from paceline.serving.model_host import engine_config

# Options that a service must be given, though nothing listens here.
_NOWHERE = ("--listen", "127.0.0.1:0")


class _TargetOptions(ModelServiceConfig):
    """As `target_service.config.TargetConfig`."""

    program: ClassVar[str] = "target_service"
    model_config = SettingsConfigDict(env_prefix="PACELINE_TARGET_")


class _DraftOptions(ModelServiceConfig):
    """As `draft_service.config.DraftConfig`."""

    program: ClassVar[str] = "draft_service"
    model_config = SettingsConfigDict(env_prefix="PACELINE_DRAFT_")

    weights: WeightsFormat = "int4"
    batch_invariant: Literal["require", "prefer", "off"] = "off"
    head: Literal["fast", "exact"] = "fast"
    activation_group_size: int | None = 128


def target_engine(directory: Path, cores: Cores | None) -> EngineConfig:
    """Return how target_service loads a prepared directory on these cores.

    Raises ConfigError where the environment holds a setting that the service would refuse.
    """
    options = read_config(_TargetOptions, _arguments(directory))
    return _on_cores(engine_config(options, directory), options, cores)


def draft_engine(directory: Path, cores: Cores | None) -> EngineConfig:
    """Return how draft_service loads a prepared directory on these cores; raises as `target_engine` does."""
    options = read_config(_DraftOptions, _arguments(directory))
    return _on_cores(engine_config(options, directory, options.head), options, cores)


def _arguments(directory: Path) -> Sequence[str]:
    return (*_NOWHERE, "--model", str(directory))


def _on_cores(config: EngineConfig, options: ModelServiceConfig, cores: Cores | None) -> EngineConfig:
    """A pinned service computes with a thread a core, unless it is told otherwise."""
    if options.num_threads is not None or cores is None:
        return config
    return replace(config, num_threads=len(cores))
