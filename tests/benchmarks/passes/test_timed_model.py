"""Passes are fed as the engine feeds them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.passes.case import Case
from benchmarks.passes.timed_model import TimedModel, timings_in_turn
from paceline.engine.batch import Batch
from paceline.engine.config import EngineConfig, Invariance
from paceline.engine.work import Logits
from tests.paceline.engine.hash_runner import HashRunner, hash_engine

CONFIG = EngineConfig(Path("none"), 0, 1, max_rows_per_step=64)


class NotingRunner(HashRunner):
    """Keeps the batches that it is given."""

    def __init__(self) -> None:
        super().__init__(num_blocks=64)
        self.batches: list[Batch] = []

    def forward(self, batch: Batch) -> Logits:
        self.batches.append(batch)
        return super().forward(batch)


class DeviceRunner(NotingRunner):
    """Its logits choose for themselves."""

    def __init__(self) -> None:
        super().__init__()
        self.num_choices = 0

    def forward(self, batch: Batch) -> Any:
        return _DeviceLogits(self, super().forward(batch))


class _DeviceLogits:
    def __init__(self, runner: DeviceRunner, logits: Logits) -> None:
        self._runner, self._logits = runner, logits

    def __getitem__(self, rows: slice) -> Logits:
        raise AssertionError("rows come to the host though the device chooses")

    def choose_ids(self, choices: list[Any]) -> list[int]:
        assert len(choices) == len(self._logits)
        self._runner.num_choices += len(choices)
        return np.argmax(self._logits, axis=1).tolist()


def timed(runner: HashRunner, invariance: Invariance = "prefer", max_rows: int = 64) -> TimedModel:
    with hash_engine() as engine:
        info = engine.info
    config = replace(CONFIG, batch_invariant=invariance, max_rows_per_step=max_rows)
    return TimedModel(runner, info, config)  # pyright: ignore[reportArgumentType] - a stand-in of the same shape


@pytest.mark.parametrize(("invariance", "num_subsequences"), [("prefer", 6), ("off", 2)])
def test_rows_stand_alone_where_exactness_is_wanted_and_else_share_a_subsequence(
    invariance: Invariance, num_subsequences: int
) -> None:
    runner = NotingRunner()
    model = timed(runner, invariance)
    model.time(model.plan(Case(context=8, num_sessions=2, num_rows=3)))
    (batch,) = runner.batches
    assert len(batch.inputs["past_lens"]) == num_subsequences
    assert batch.num_logits == 6


def test_ids_are_chosen_where_the_logits_lie() -> None:
    runner = DeviceRunner()
    model = timed(runner)
    model.time(model.plan(Case(context=8, num_sessions=2, num_rows=3)))
    assert runner.num_choices == 6


def test_more_rows_than_a_pass_may_have_are_several_passes() -> None:
    runner = NotingRunner()
    model = timed(runner, max_rows=4)
    case = Case(context=8, num_sessions=3, num_rows=2)
    ((_, num_passes, _),) = timings_in_turn(model, [case], num_warm_ups=0, num_repeats=1)
    assert num_passes == len(runner.batches) == 2


def test_cases_take_turns_and_warm_ups_do_not_count() -> None:
    runner = NotingRunner()
    cases = [Case(8, 1, 1), Case(8, 1, 3)]
    found = list(timings_in_turn(timed(runner), cases, num_warm_ups=2, num_repeats=3))
    assert [batch.num_logits for batch in runner.batches] == [1, 3] * 5
    assert [(case, len(timings)) for case, _, timings in found] == [(case, 3) for case in cases]
    assert all(timing.layout > 0 and timing.forward > 0 for _, _, timings in found for timing in timings)


def test_passes_find_real_kv_in_every_block() -> None:
    runner = NotingRunner()
    model = timed(runner)
    model.fill(20)
    assert np.all(runner._kv[1:20] == runner._kv[1])
    assert not np.array_equal(runner._kv[20], runner._kv[1])
