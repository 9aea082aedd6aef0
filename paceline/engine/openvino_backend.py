"""Loading a prepared model into OpenVINO."""

from dataclasses import asdict

import openvino as ov

from paceline.engine.config import EngineConfig
from paceline.engine.model_runner import LoadedRunner
from paceline.engine.precision import choose_precision
from paceline.engine.runner import Runner, RunnerConfig, load_model


def load(config: EngineConfig) -> LoadedRunner:
    """Build and compile; raises as `paceline.engine.backends.load_backend` does."""
    manifest, build = load_model(config.model_directory, config.head)
    precision = choose_precision(
        config.device, manifest.weights, config.compute_precision, config.kv_precision
    )
    runner_config = RunnerConfig.of(config, precision)
    runner = Runner(build(), runner_config, weights=build)
    shape = manifest.architecture
    return LoadedRunner(
        runner=runner,
        name=manifest.name,
        family=shape.family,
        weights=manifest.weights,
        precision=precision,
        device=runner_config.device,
        vocabulary_size=shape.vocabulary_size,
        max_context_tokens=shape.max_context_tokens,
        kernel_settings={
            **asdict(runner_config),
            "num_threads": runner.num_threads,
            "head": config.head,
            "openvino": ov.get_version(),
        },
    )
