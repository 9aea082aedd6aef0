"""What steps cost, read from real processes."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from paceline.cli.evaluation.reading import steps as steps_module
from paceline.cli.evaluation.reading.pass_times import PassTimes
from paceline.cli.evaluation.reading.steps import read_steps
from paceline.local.core_assignment import CoreAssignment
from paceline.models.catalog import SMOLLM2_135M
from tests.paceline.cli.evaluation.reading.plans import Steps, random_plan, smollm2_plan


@pytest.fixture(autouse=True)
def _few_repeats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps_module, "NUM_REPEATS", 2)


def test_a_real_model_is_described() -> None:
    steps, plan = Steps(), smollm2_plan()
    reading = read_steps(plan, steps)
    steps.check()
    [target] = reading.models
    assert (target.role, target.weights) == ("target", "int8")
    assert target.num_parameters == SMOLLM2_135M.num_parameters
    assert target.weight_bytes == (plan.target.directory / "model.safetensors").stat().st_size
    assert (target.num_layers, target.num_kv_heads, target.head_size) == (30, 3, 64)
    assert target.kv_bytes_per_token == 46_080
    assert (target.compute_precision, target.kv_precision, target.device) == ("f32", "f32", "CPU")
    assert target.is_batch_invariant
    assert reading.size_ratios == ()


def test_a_draft_with_other_cores_is_timed_on_the_target_s_too(random_models: dict[str, Path]) -> None:
    cores = CoreAssignment(draft=frozenset({min(os.sched_getaffinity(0))}))
    plan, steps = replace(random_plan(random_models, ("good",)), cores=cores), Steps()
    reading = read_steps(plan, steps)
    assert [step for step, _, _ in steps.reports].count("good f32: loading") == 2
    assert [(one.role, one.is_batch_invariant) for one in reading.models] == [
        ("target", True),
        ("draft", False),
    ]
    [ratio] = reading.size_ratios
    assert (ratio.draft, ratio.parameters, ratio.weight_bytes) == ("good", 1.0, 1.0)
    assert ratio.step_seconds > 0
    assert set(ratio.break_even_acceptance) == {"2", "4"}
    assert all(share is None or 0 <= share < 1 for share in ratio.break_even_acceptance.values())


def test_between_and_beyond_what_was_measured_a_row_costs_what_its_neighbours_do() -> None:
    times = PassTimes({1: (1.0, 9.0, 1.0), 5: (3.0,), 9: (4.0,)}, (0.5, 0.25, 0.75))
    assert [times.median_of_rows(rows) for rows in (1, 3, 5, 9, 13)] == [1.0, 2.0, 3.0, 4.0, 5.0]
    assert times.median_step == 0.5
    assert PassTimes({1: (2.0,)}, (1.0,)).median_of_rows(8) == 2.0
