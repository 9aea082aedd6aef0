"""A loaded model whose passes are timed: loaded as a service loads it, and fed as the engine feeds it.

All that this benchmark knows of the engine's insides is here.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from time import perf_counter_ns
from typing import Any, NamedTuple

import numpy as np

from benchmarks.passes.case import Case, cut, greedy_choices
from paceline.engine.batch import Batch, Rows, chunked_batch, split_batch
from paceline.engine.config import EngineConfig
from paceline.engine.engine import EngineInfo, load_runner
from paceline.engine.model_runner import DeviceLogits, ModelRunner, PassLogits
from paceline.engine.pytorch.runner import TorchRunner
from paceline.engine.task import choose_greedily
from paceline.engine.work import RowChoice

_Layout = Callable[[Sequence[Rows], int, int], Batch]


class Timing(NamedTuple):
    """Milliseconds of one case, once."""

    layout: float
    forward: float


@dataclass(frozen=True)
class PlannedCase:
    """A case as the passes that it takes, the rows of each."""

    passes: tuple[list[Rows], ...]
    choices: tuple[list[RowChoice], ...]


class TimedModel:
    """A model in one mode.

    Attributes:
        info: What was loaded, and what its self-test found.
    """

    def __init__(self, runner: ModelRunner, info: EngineInfo, config: EngineConfig) -> None:
        self.info = info
        self._runner = runner
        self._max_rows = config.max_rows_per_step
        self._lay_out: _Layout = chunked_batch if config.batch_invariant == "off" else split_batch

    @classmethod
    def load(cls, config: EngineConfig) -> "TimedModel":
        """Load and self-test it; raises what `load_runner` raises."""
        return cls(*load_runner(config), config)

    @property
    def num_blocks(self) -> int:
        """Blocks of its KV cache, the padding block included."""
        return self._runner.num_blocks

    @property
    def block_size(self) -> int:
        """Tokens a block."""
        return self._runner.block_size

    def kernels(self) -> dict[str, Any]:
        """Return what a runner on PyTorch has chosen, which the configuration may have left to it."""
        runner = self._runner
        if not isinstance(runner, TorchRunner):
            return {}
        return {
            "attention": runner.attention,
            "num_graphs": runner.num_graphs,
            "graph_bytes": runner.graph_bytes,
        }

    def fill(self, num_blocks: int) -> None:
        """Write KV of real ids into the first blocks, so that passes find numbers of the usual sizes there."""
        size = self._runner.block_size
        ids = np.random.default_rng(0).integers(0, self.info.vocabulary_size, size).tolist()
        self._runner.forward(self._laid_out([Rows(ids, 0, [1], 1)]))
        for block in range(2, num_blocks):
            self._runner.copy_block(1, block)

    def plan(self, case: Case) -> PlannedCase:
        """Return the passes that a case takes: one, unless there are more rows than a pass may have."""
        parts = case.parts(self._runner.block_size, self.info.vocabulary_size)
        passes = tuple(cut(parts, self._max_rows))
        return PlannedCase(passes, tuple(greedy_choices(rows) for rows in passes))

    def time(self, planned: PlannedCase) -> Timing:
        """Run it once. The ids are on the host when the clock stops, so that the device has ended what it was given."""
        started = perf_counter_ns()
        batches = [self._laid_out(rows) for rows in planned.passes]
        laid_out = perf_counter_ns()
        for batch, choices in zip(batches, planned.choices, strict=True):
            _choose(self._runner.forward(batch), choices)
        return Timing((laid_out - started) / 1e6, (perf_counter_ns() - laid_out) / 1e6)

    def _laid_out(self, rows: Sequence[Rows]) -> Batch:
        return self._lay_out(rows, self.info.self_test.min_rows, self._runner.block_size)


def timings_in_turn(
    model: TimedModel, cases: Sequence[Case], num_warm_ups: int, num_repeats: int
) -> Iterator[tuple[Case, int, list[Timing]]]:
    """Yield each case with its number of passes and its timings; cases take turns, so that ratios of them are fair."""
    planned = {case: model.plan(case) for case in cases}
    timings: dict[Case, list[Timing]] = {case: [] for case in cases}
    for repeat in range(num_warm_ups + num_repeats):
        for case, one in planned.items():
            timing = model.time(one)
            timings[case] += [timing] if repeat >= num_warm_ups else []
    for case, one in planned.items():
        yield case, len(one.passes), timings[case]


def _choose(logits: PassLogits, choices: list[RowChoice]) -> None:
    """Choose as the engine does: where the logits lie, and on the host what a device leaves to it."""
    if not isinstance(logits, DeviceLogits) or None in logits.choose_ids(choices):
        choose_greedily(logits[: len(choices)])
