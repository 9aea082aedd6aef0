"""What the KV of sessions takes, predicted and measured, and what keeping it is worth."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from paceline.cli.evaluation.findings import CacheCost, KvMemory
from paceline.cli.evaluation.reading.child import ChildTask, run_in_child
from paceline.cli.evaluation.reading.kv_layout import (
    BLOCK_TOKENS,
    kv_bytes_per_block,
    kv_bytes_per_token,
    num_blocks_of,
    sessions_in,
)
from paceline.cli.evaluation.reading.kv_probe import HeldBytes, KvProbe, probe_kv
from paceline.cli.evaluation.reading.plan import ModelSource, Progress, ReadingPlan
from paceline.cli.evaluation.reading.rebuild import time_rebuilds
from paceline.cli.evaluation.reading.served import draft_engine, target_engine
from paceline.engine.engine import EngineConfig
from paceline.engine.graph.architecture import Architecture
from paceline.engine.graph.manifest import Manifest
from paceline.engine.precision import Precision, choose_precision
from paceline.errors import PacelineError
from paceline.local.core_assignment import Cores
from paceline.local.stop_signals import StoppedError

# A cache that holds no more than this many times what its tokens take gets no note.
_MUCH_MORE = 1.05

T = TypeVar("T")


@dataclass(frozen=True)
class MemoryReading:
    """Memory for each model and precision, what rebuilding costs, and what is to be said beside."""

    memory: tuple[KvMemory, ...]
    costs: tuple[CacheCost, ...]
    notes: tuple[str, ...]


def read_kv_memory(
    plan: ReadingPlan,
    kv_precisions: tuple[str, ...],
    session_tokens: int,
    budget_bytes: int,
    rebuilt_tokens: tuple[int, ...],
    progress: Progress,
) -> MemoryReading:
    """Measure each model's KV in each precision, and how long it takes to compute sessions again.

    `kv_precisions` are "f32", "f16", "bf16", "u8", "u4", or "auto" for the served one; `session_tokens`, at least one,
    is the length of the sessions that are counted, `budget_bytes` the memory for the KV of each model, and
    `rebuilt_tokens` the lengths of the sessions that are rebuilt.
    What cannot be loaded is predicted only, and a note says so.

    Raises ConfigError where there is no such precision, and StoppedError after a stop signal.
    """
    reader = _MemoryReader(session_tokens, budget_bytes, rebuilt_tokens, progress)
    for model in _served_models(plan):
        reader.read(model, kv_precisions)
    notes = (*reader.notes, *page_notes(reader.held))
    return MemoryReading(tuple(reader.memory), tuple(reader.costs), notes)


def page_notes(held: Mapping[str, HeldBytes]) -> list[str]:
    """Return a note on the cache that holds most beyond what its tokens take, if any holds much more."""
    shares = {
        name: (one.of_cache / one.of_tokens, one.of_tokens, one.of_cache)
        for name, one in held.items()
        if one.of_tokens and one.of_cache
    }
    name, (share, of_tokens, of_cache) = max(
        shares.items(), key=lambda item: item[1], default=("", (1.0, 0, 0))
    )
    if share <= _MUCH_MORE:
        return []
    note = (
        f"A cache that is nearly empty holds more memory than its tokens take ({name}: {of_cache / 1e6:.1f} MB for "
        f"{of_tokens / 1e6:.1f} MB of keys and values), because the system gives memory in pages of 2 MiB to the keys "
        "and to the values of each layer; a full cache holds no more than its size."
    )
    return [note]


@dataclass(frozen=True)
class _ServedModel:
    """A model with its place, and how it is loaded there."""

    role: str
    source: ModelSource
    config: EngineConfig
    cores: Cores | None
    manifest: Manifest

    @property
    def architecture(self) -> Architecture:
        return self.manifest.architecture

    def precision(self, kv_precision: str) -> Precision:
        """Return what "auto" comes to, and a computation that the KV can be had with: bf16 goes with itself alone."""
        compute = self.config.compute_precision
        if kv_precision != "auto":
            compute = {"bf16": "bf16", "f16": "f32", "f32": "f32"}.get(kv_precision, compute)
        else:
            kv_precision = self.config.kv_precision
        return choose_precision(self.config.device, self.manifest.weights, compute, kv_precision)


def _served_models(plan: ReadingPlan) -> list[_ServedModel]:
    target, cores = plan.target, plan.cores
    config = target_engine(target.directory, cores.target)
    served = [_ServedModel("target", target, config, cores.target, Manifest.read(target.directory))]
    for draft in plan.drafts:
        config = draft_engine(draft.directory, cores.draft)
        served.append(_ServedModel("draft", draft, config, cores.draft, Manifest.read(draft.directory)))
    return served


class _MemoryReader:
    """Reads one model after the other."""

    def __init__(
        self, session_tokens: int, budget_bytes: int, rebuilt_tokens: tuple[int, ...], progress: Progress
    ) -> None:
        self.memory: list[KvMemory] = []
        self.costs: list[CacheCost] = []
        self.notes: list[str] = []
        self.held: dict[str, HeldBytes] = {}
        self._session_tokens = session_tokens
        self._budget_bytes = budget_bytes
        self._rebuilt_tokens = rebuilt_tokens
        self._progress = progress

    def read(self, model: _ServedModel, kv_precisions: Sequence[str]) -> None:
        """Read a model in each precision, one that "auto" comes to once, and as it is served."""
        precisions = {precision.kv: precision for precision in map(model.precision, kv_precisions)}
        block_bytes = {kv: kv_bytes_per_block(model.architecture, kv) for kv in precisions}
        for kv, precision in precisions.items():
            probe = self._probe(model, precision)
            self.memory.append(self._memory(model, kv, block_bytes[kv], probe))
        self._read_costs(model)

    def _probe(self, model: _ServedModel, precision: Precision) -> KvProbe | None:
        name = f"{model.source.title}, {precision.kv} KV"
        task = partial(probe_kv, model.config, precision.compute, precision.kv, name)
        probe = self._noted(f"{name} was not measured", model, task)
        if probe is not None:
            self.held[name] = probe.held
        return probe

    def _noted(self, note: str, model: _ServedModel, task: ChildTask[T]) -> T | None:
        """Return what a task returns in a process on a model's cores, or None and a note where it fails."""
        try:
            return run_in_child(task, model.cores, self._progress)
        except StoppedError:
            raise
        except PacelineError as error:
            self.notes.append(f"{note}: {error}")
            return None

    def _memory(
        self, model: _ServedModel, kv_precision: str, block_bytes: int, probe: KvProbe | None
    ) -> KvMemory:
        held = probe.held.of_tokens if probe is not None else None
        num_tokens = probe.num_tokens if probe is not None else 0
        return KvMemory(
            role=model.role,
            model=model.source.name,
            precision=kv_precision,
            predicted_bytes_per_token=kv_bytes_per_token(model.architecture, kv_precision),
            measured_bytes_per_token=held / num_tokens if held is not None and num_tokens else None,
            num_measured_tokens=num_tokens,
            session_tokens=self._session_tokens,
            bytes_per_session=num_blocks_of(self._session_tokens) * block_bytes,
            sessions_in_budget=sessions_in(self._budget_bytes, self._session_tokens, block_bytes),
            budget_bytes=self._budget_bytes,
        )

    def _read_costs(self, model: _ServedModel) -> None:
        """Rebuild sessions in a cache that surely holds each of them."""
        lengths = self._rebuilt_tokens
        served = model.precision("auto").kv
        block_bytes = kv_bytes_per_block(model.architecture, served)
        least_bytes = (num_blocks_of(max(lengths)) + 2) * block_bytes
        config = replace(model.config, kv_cache_bytes=max(model.config.kv_cache_bytes, least_bytes))
        task = partial(time_rebuilds, config, model.source.title, lengths)
        reading = self._noted(f"{model.source.title}: rebuilding a cache was not measured", model, task)
        if reading is None:
            return
        if reading.info.max_context_tokens < max(lengths):
            self.notes.append(
                f"{model.source.name} has a context of {reading.info.max_context_tokens} tokens: a session of that "
                "length was rebuilt."
            )
        for one in reading.rebuilds:
            kept_bytes = num_blocks_of(one.num_tokens) * BLOCK_TOKENS * reading.info.kv_bytes_per_token
            self.costs.append(
                CacheCost(
                    model.role, model.source.name, one.num_tokens, kept_bytes, one.seconds, one.cpu_seconds
                )
            )
