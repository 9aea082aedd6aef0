"""Both models in other formats of weights and KV: what each costs, and what becomes of the text.

Loading is what takes time: each model is loaded once in each format, and everything is read then. Texts are short and
few, so that the whole matrix takes minutes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from paceline.cli.evaluation.estimate import estimate_of
from paceline.cli.evaluation.findings import DraftFormat, FormatPair, TargetFormat
from paceline.cli.evaluation.reading.chats import encoded_prompts, require_shared_vocabulary
from paceline.cli.evaluation.reading.child import run_in_child
from paceline.cli.evaluation.reading.format_probe import (
    Agrees,
    DraftProbe,
    TargetProbe,
    TextWish,
    TimeWish,
    probe_draft,
    probe_target,
)
from paceline.cli.evaluation.reading.pair_speed import PairCosts, best_speed
from paceline.cli.evaluation.reading.perplexity import HeldText, held_text
from paceline.cli.evaluation.reading.plan import ModelSource, Progress, ReadingPlan
from paceline.cli.evaluation.reading.prompt_spread import spread_prompts
from paceline.cli.evaluation.reading.served import draft_engine, target_engine
from paceline.cli.evaluation.reading.texts import TextTask
from paceline.engine.engine import EngineConfig
from paceline.engine.graph.manifest import Manifest
from paceline.errors import PacelineError
from paceline.local.stop_signals import StoppedError
from paceline.models.prepare import prepare
from paceline.models.prepared import NotPreparedError, find_prepared, ready_directory, require_format
from paceline.models.tokenizer import Tokenizer
from paceline.sampling.parameters import SamplingParameters

MAX_PROMPTS = 6
MAX_TOKENS = 32
NUM_REPEATS = 5
STEP_ROWS, VERIFY_ROWS = 1, 5
# The widest first.
_WEIGHTS_BY_WIDTH = ("f32", "f16", "int8", "int4")
_QUANTISED_KV = ("u8", "u4")

T = TypeVar("T")


@dataclass(frozen=True)
class FormatReading:
    """All formats that could be had, pairs of them with the same KV, and what is to be said of the others."""

    targets: tuple[TargetFormat, ...]
    drafts: tuple[DraftFormat, ...]
    pairs: tuple[FormatPair, ...]
    notes: tuple[str, ...]


def read_formats(
    plan: ReadingPlan, weights: tuple[str, ...], kv_precisions: tuple[str, ...], progress: Progress
) -> FormatReading:
    """Prepare what is missing, and read each model in each format of weights and KV.

    `kv_precisions` are as in `EngineConfig.kv_precision`; "auto" is unquantised, as the computation. What cannot be
    prepared or loaded becomes a note. Of a directory that is prepared already there is one format of weights only.

    Raises UnsupportedModelError where there are no such weights, ConfigError where a draft's vocabulary is not the
    target's, and StoppedError after a stop signal.
    """
    for one in weights:
        require_format(one)
    return _FormatReader(plan, weights, kv_precisions, progress).read()


@dataclass(frozen=True)
class _Format:
    """A model in one format; `kv` is what was asked for, and may be "auto"."""

    model: ModelSource
    kv: str
    directory: Path

    @property
    def weights(self) -> str:
        return self.model.weights

    @property
    def title(self) -> str:
        return self.model.title if self.kv == "auto" else f"{self.model.title}, {self.kv} KV"


@dataclass(frozen=True)
class _Target:
    """A target that was read."""

    format: _Format
    probe: TargetProbe

    @property
    def reference_name(self) -> str:
        return f"{self.format.weights} weights, {self.probe.loaded.info.kv_precision} KV"


@dataclass(frozen=True)
class _Draft:
    """A draft that was read, with its agreement with each target."""

    format: _Format
    probe: DraftProbe
    agrees: tuple[tuple[_Target, tuple[Agrees, ...]], ...]


class _FormatReader:
    """Reads one matrix."""

    def __init__(
        self, plan: ReadingPlan, weights: Sequence[str], kv_precisions: Sequence[str], progress: Progress
    ) -> None:
        self._plan = plan
        self._weights = sorted(weights, key=_WEIGHTS_BY_WIDTH.index)
        self._kv_precisions = sorted(kv_precisions, key=lambda kv: kv in _QUANTISED_KV)
        self._progress = progress
        self._notes: list[str] = []

    def read(self) -> FormatReading:
        plan = self._plan
        tokenizer = Tokenizer.load(plan.target.directory)
        require_shared_vocabulary(plan, tokenizer)
        held = held_text(plan.prompts, tokenizer)
        targets = self._read_targets(tokenizer, held)
        drafts = [one for draft in plan.drafts for one in self._read_drafts(draft, targets)]
        reference = targets[0] if targets else None
        return FormatReading(
            targets=tuple(_target_format(one, targets[0]) for one in targets),
            drafts=tuple(map(_draft_format, drafts)),
            pairs=tuple(
                _pair(draft, target, agrees, reference, plan.num_draft_tokens)
                for draft in drafts
                for target, agrees in draft.agrees
                if reference is not None
            ),
            notes=(*self._notes, held.description),
        )

    def _read_targets(self, tokenizer: Tokenizer, held: HeldText) -> list[_Target]:
        """Read the target in every format; the first one that loads, which is the widest, is the reference."""
        plan, read = self._plan, list[_Target]()
        wish = _text_wish(plan, tokenizer)
        timed = TimeWish(
            (STEP_ROWS, VERIFY_ROWS, *(number + 1 for number in plan.num_draft_tokens)), NUM_REPEATS
        )
        for one in self._formats(plan.target):
            reference = read[0].probe.texts if read else ()
            config = self._config(target_engine(one.directory, plan.cores.target), one)
            task = partial(probe_target, config, one.title, wish, reference, held, timed)
            probe = self._noted(one.title, partial(run_in_child, task, plan.cores.target, self._progress))
            read += [_Target(one, probe)] if probe is not None else []
        return read

    def _read_drafts(self, draft: ModelSource, targets: Sequence[_Target]) -> list[_Draft]:
        """Read a draft in every format, on the texts of all targets with the same KV."""
        plan, read = self._plan, list[_Draft]()
        for one in self._formats(draft):
            beside = [target for target in targets if target.format.kv == one.kv]
            config = self._config(draft_engine(one.directory, plan.cores.draft), one)
            texts = [target.probe.texts for target in beside]
            task = partial(probe_draft, config, one.title, texts, TimeWish((STEP_ROWS,), NUM_REPEATS))
            probe = self._noted(one.title, partial(run_in_child, task, plan.cores.draft, self._progress))
            if probe is not None:
                read.append(_Draft(one, probe, tuple(zip(beside, probe.agrees, strict=True))))
        return read

    def _config(self, served: EngineConfig, one: _Format) -> EngineConfig:
        """As it is served, but for the KV, and whatever that does to batch invariance."""
        invariance = "prefer" if served.batch_invariant == "require" else served.batch_invariant
        return replace(served, kv_precision=one.kv, batch_invariant=invariance)

    def _formats(self, model: ModelSource) -> list[_Format]:
        """All formats of a model that can be had, prepared; the widest weights first, and unquantised KV before."""
        found: list[_Format] = []
        for weights in self._weights_of(model):
            title = f"{model.name} {weights}"
            directory = self._noted(title, partial(self._prepared, model, weights))
            if directory is not None:
                one = replace(model, weights=weights, directory=directory)
                found += [_Format(one, kv, directory) for kv in self._kv_precisions]
        return found

    def _weights_of(self, model: ModelSource) -> list[str]:
        ready = ready_directory(model.source)
        if ready is None:
            return self._weights
        only = Manifest.read(ready).weights
        if others := [weights for weights in self._weights if weights != only]:
            self._notes.append(
                f"{model.name} is a prepared directory, which has {only} weights; {', '.join(others)} would have to be "
                "made from the model that it was prepared from."
            )
        return [only]

    def _prepared(self, model: ModelSource, weights: str) -> Path:
        """Prepare a format where it is missing, in a process that gives its memory back."""
        if weights == model.weights:
            return model.directory
        try:
            return find_prepared(model.source, weights)
        except NotPreparedError:
            title = f"{model.name} {weights}"

            def report(step: str, num_done: int, num_total: int) -> None:
                self._progress(f"{title}: {step}", num_done, num_total)

            return run_in_child(partial(prepare, model.source, weights), None, report)

    def _noted(self, title: str, work: Callable[[], T]) -> T | None:
        """Return what a work returns, or None and a note where it fails."""
        try:
            return work()
        except StoppedError:
            raise
        except PacelineError as error:
            self._notes.append(f"{title} was left out: {error}")
            return None


def _text_wish(plan: ReadingPlan, tokenizer: Tokenizer) -> TextWish:
    prompts = encoded_prompts(spread_prompts(plan.prompts, MAX_PROMPTS), tokenizer)
    tasks = tuple(TextTask(ids, SamplingParameters(num_prompt_tokens=len(ids))) for ids in prompts)
    return TextWish(tasks, min(plan.max_tokens, MAX_TOKENS), frozenset(tokenizer.eos_ids))


def _target_format(target: _Target, reference: _Target) -> TargetFormat:
    loaded = target.probe.loaded
    return TargetFormat(
        weights=target.format.weights,
        kv_precision=loaded.info.kv_precision,
        compute_precision=loaded.info.compute_precision,
        weight_bytes=loaded.weight_bytes,
        resident_bytes=loaded.resident_bytes,
        step_seconds=estimate_of(loaded.times.by_rows[STEP_ROWS]),
        verify_seconds=estimate_of(loaded.times.by_rows[VERIFY_ROWS]),
        perplexity=target.probe.perplexity,
        agreement=_share(target.probe.agrees) if target is not reference else 1.0,
        reference=reference.reference_name,
        is_batch_invariant=loaded.info.self_test.batch_invariant,
    )


def _draft_format(draft: _Draft) -> DraftFormat:
    loaded = draft.probe.loaded
    return DraftFormat(
        draft=draft.format.model.name,
        weights=draft.format.weights,
        kv_precision=loaded.info.kv_precision,
        compute_precision=loaded.info.compute_precision,
        weight_bytes=loaded.weight_bytes,
        resident_bytes=loaded.resident_bytes,
        step_seconds=estimate_of(loaded.times.step),
        is_batch_invariant=loaded.info.self_test.batch_invariant,
    )


def _pair(
    draft: _Draft,
    target: _Target,
    agrees: tuple[Agrees, ...],
    reference: _Target,
    num_draft_tokens: Sequence[int],
) -> FormatPair:
    """Return what the two would do together; `kv_precision` is the target's, "auto" of a draft may be another one."""
    times = target.probe.loaded.times
    costs = PairCosts(times.median_of_rows, draft.probe.loaded.times.median_step)
    best = best_speed(agrees, num_draft_tokens, costs)
    return FormatPair(
        draft=draft.format.model.name,
        target_weights=target.format.weights,
        draft_weights=draft.format.weights,
        kv_precision=target.probe.loaded.info.kv_precision,
        acceptance=_share(agrees),
        best_num_draft_tokens=best.num_draft_tokens,
        expected_speed_up=best.tokens_per_second * times.median_step,
        relative_speed=best.tokens_per_second * reference.probe.loaded.times.median_step,
    )


def _share(agrees: Sequence[Agrees]) -> float:
    return sum(map(sum, agrees)) / sum(map(len, agrees))
