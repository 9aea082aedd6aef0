"""What the process of a model in one format does: all that is to be known of it, in one load."""

import os
import resource
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from paceline.cli.benchmark.process_usage import usage_of
from paceline.cli.evaluation.reading.pass_times import PassTimes, time_passes
from paceline.cli.evaluation.reading.perplexity import HeldText, perplexity_of
from paceline.cli.evaluation.reading.plan import Progress
from paceline.cli.evaluation.reading.texts import Ids, TextTask, WrittenText, choices_in, write_texts
from paceline.cli.evaluation.reading.weight_file import weight_bytes
from paceline.cli.evaluation.reading.work_groups import ChosenReport
from paceline.engine.engine import Engine, EngineConfig, EngineInfo
from paceline.engine.graph.manifest import Manifest
from paceline.sampling.selector import selector_for

Agrees = tuple[bool, ...]  # at each position of a text


@dataclass(frozen=True)
class LoadedFormat:
    """A model as it was loaded, what it holds, and what its passes took."""

    info: EngineInfo
    weight_bytes: int
    resident_bytes: int
    times: PassTimes


@dataclass(frozen=True)
class TargetProbe:
    """A target in one format.

    Attributes:
        loaded: What it costs.
        texts: Its own greedy texts.
        agrees: With the texts of the reference, at each position; nothing where it is the reference itself.
        perplexity: Of the held text.
    """

    loaded: LoadedFormat
    texts: tuple[WrittenText, ...]
    agrees: tuple[Agrees, ...]
    perplexity: float


@dataclass(frozen=True)
class DraftProbe:
    """A draft in one format: what it costs, and its agreement with each of several sets of texts."""

    loaded: LoadedFormat
    agrees: tuple[tuple[Agrees, ...], ...]


@dataclass(frozen=True)
class TextWish:
    """Which texts targets write."""

    tasks: tuple[TextTask, ...]
    max_tokens: int
    stop_ids: frozenset[int]


@dataclass(frozen=True)
class TimeWish:
    """Which passes are timed, and how often."""

    row_counts: tuple[int, ...]
    num_repeats: int


def probe_target(
    config: EngineConfig,
    name: str,
    wish: TextWish,
    reference: Sequence[WrittenText],
    held: HeldText,
    timed: TimeWish,
    progress: Progress,
) -> TargetProbe:
    """Load a target and read everything; `reference` are the reference format's texts, none for itself."""
    progress(f"{name}: loading", 0, 1)
    with Engine.load(config) as engine:
        selectors = [selector_for(task.sampling) for task in wish.tasks]
        writing = _reporter(progress, f"{name}: writing texts")
        texts = write_texts(engine, wish.tasks, selectors, wish.max_tokens, wish.stop_ids, writing)
        agrees = _agreement(engine, reference, _reporter(progress, f"{name}: reading the reference's texts"))
        perplexity = perplexity_of(engine, held, _reporter(progress, f"{name}: perplexity"))
        return TargetProbe(_loaded(engine, config, name, timed, progress), texts, agrees, perplexity)


def probe_draft(
    config: EngineConfig,
    name: str,
    sets: Sequence[Sequence[WrittenText]],
    timed: TimeWish,
    progress: Progress,
) -> DraftProbe:
    """Load a draft and read each set of texts."""
    progress(f"{name}: loading", 0, 1)
    with Engine.load(config) as engine:
        reading = _reporter(progress, f"{name}: reading texts")
        agrees = tuple(_agreement(engine, texts, reading) for texts in sets)
        return DraftProbe(_loaded(engine, config, name, timed, progress), agrees)


def _agreement(engine: Engine, texts: Sequence[WrittenText], report: ChosenReport) -> tuple[Agrees, ...]:
    """Say for each position of each text whether the engine, choosing greedily, would write the same."""
    chosen = choices_in(engine, texts, [None] * len(texts), report) if texts else []
    return tuple(_equal(text.ids, ids) for text, ids in zip(texts, chosen, strict=True))


def _equal(ids: Ids, others: Ids) -> Agrees:
    return tuple(one == other for one, other in zip(ids, others, strict=True))


def _loaded(
    engine: Engine, config: EngineConfig, name: str, timed: TimeWish, progress: Progress
) -> LoadedFormat:
    timing = _reporter(progress, f"{name}: timing steps")
    times = time_passes(engine, timed.row_counts, timed.num_repeats, timing)
    manifest = Manifest.read(config.model_directory)
    return LoadedFormat(engine.info, weight_bytes(config.model_directory, manifest), _resident_bytes(), times)


def _resident_bytes() -> int:
    """What this process holds now, mapped files included; the most that it ever held where /proc does not tell."""
    usage = usage_of({"self": os.getpid()}).get("self")
    if usage is not None:
        return usage.resident_memory_bytes
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _reporter(progress: Progress, step: str) -> ChosenReport:
    return partial(progress, step)
