"""What a model's process does for the costs of its steps: load it, describe it, time its passes."""

from collections.abc import Sequence
from dataclasses import dataclass

from paceline.cli.evaluation.reading.pass_times import PassTimes, time_passes
from paceline.cli.evaluation.reading.plan import Progress
from paceline.cli.evaluation.reading.weight_file import num_parameters, weight_bytes
from paceline.engine.engine import Engine, EngineConfig, EngineInfo
from paceline.engine.graph.architecture import Architecture
from paceline.engine.graph.manifest import Manifest


@dataclass(frozen=True)
class TimedModel:
    """A model as it was loaded, and what its passes took."""

    info: EngineInfo
    architecture: Architecture
    num_parameters: int
    weight_bytes: int
    times: PassTimes


def time_model(
    config: EngineConfig, name: str, row_counts: Sequence[int], num_repeats: int, progress: Progress
) -> TimedModel:
    """Load a model and time its passes."""
    progress(f"{name}: loading", 0, 1)
    manifest = Manifest.read(config.model_directory)
    with Engine.load(config) as engine:
        times = time_passes(
            engine,
            row_counts,
            num_repeats,
            lambda num_done, num_total: progress(f"{name}: timing steps", num_done, num_total),
        )
        return TimedModel(
            engine.info,
            manifest.architecture,
            num_parameters(config.model_directory, manifest),
            weight_bytes(config.model_directory, manifest),
            times,
        )
