"""Which module computes for which engine; only the chosen one is imported, since its packages may not be installed."""

from importlib import import_module
from typing import Protocol, cast

from paceline.engine.config import EngineConfig, EngineKind
from paceline.engine.model_runner import LoadedRunner
from paceline.errors import ConfigError

_MODULES: dict[EngineKind, str] = {
    "openvino": "paceline.engine.openvino_backend",
    "torch": "paceline.engine.pytorch.backend",
}
_EXTRAS: dict[EngineKind, str] = {"openvino": "target", "torch": "accelerator"}


class _Backend(Protocol):
    def load(self, config: EngineConfig) -> LoadedRunner: ...


def load_backend(config: EngineConfig) -> LoadedRunner:
    """Load a model into the engine of its configuration.

    Raises ConfigError where the packages of the engine are missing or it does not compute in these precisions,
    UnsupportedModelError and BlocksExhaustedError.
    """
    if config.tensor_parallel > 1 and config.engine != "torch":
        message = (
            f'The engine "{config.engine}" computes a model on one device. Give --engine torch for slices on '
            f"{config.tensor_parallel} CUDA devices, or --tensor-parallel 1."
        )
        raise ConfigError(message, setting="tensor_parallel")
    try:
        module = import_module(_MODULES[config.engine])
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("paceline"):
            raise
        message = (
            f'The engine "{config.engine}" needs {error.name}, which is not installed: '
            f'pip install "paceline[{_EXTRAS[config.engine]}]".'
        )
        raise ConfigError(message, setting="engine") from error
    return cast("_Backend", module).load(config)
