"""What it takes to compute a session's cache again, from its ids."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from paceline.cli.evaluation.reading.plan import Progress
from paceline.engine.engine import Engine, EngineConfig, EngineInfo
from paceline.engine.work import Work


@dataclass(frozen=True)
class Rebuild:
    """Seconds by the clock and of all cores together that a session of so many tokens took."""

    num_tokens: int
    seconds: float
    cpu_seconds: float


@dataclass(frozen=True)
class RebuildReading:
    """How a model was loaded, and what rebuilding took."""

    info: EngineInfo
    rebuilds: tuple[Rebuild, ...]


def time_rebuilds(
    config: EngineConfig, name: str, lengths: Sequence[int], progress: Progress
) -> RebuildReading:
    """Load a model as it is served, and compute sessions of these lengths, or as long as its context allows."""
    progress(f"{name}: loading", 0, 1)
    with Engine.load(config) as engine:
        rebuilds: list[Rebuild] = []
        for number, length in enumerate(lengths):
            progress(f"{name}: rebuilding caches", number, len(lengths))
            rebuilds.append(_rebuild(engine, min(length, engine.info.max_context_tokens), number))
        progress(f"{name}: rebuilding caches", len(lengths), len(lengths))
        return RebuildReading(engine.info, tuple(rebuilds))


def _rebuild(engine: Engine, num_tokens: int, number: int) -> Rebuild:
    # Other ids each time: full blocks would be found by their content instead.
    ids = np.random.default_rng(number).integers(0, engine.info.vocabulary_size, num_tokens)
    sequence = engine.open_sequence()
    started, cpu_started = time.monotonic(), time.process_time()
    engine.submit(Work(sequence, 0, ids)).future.result()
    rebuild = Rebuild(num_tokens, time.monotonic() - started, time.process_time() - cpu_started)
    engine.close_sequence(sequence)
    return rebuild
