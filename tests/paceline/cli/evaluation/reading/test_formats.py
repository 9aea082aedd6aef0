"""Both models in several formats, read from real processes."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from paceline.cli.benchmark.prompt_set import BenchPrompt
from paceline.cli.evaluation.reading import formats as formats_module
from paceline.cli.evaluation.reading.formats import FormatReading, read_formats
from paceline.cli.evaluation.reading.plan import ignore_progress
from paceline.cli.evaluation.reading.prompt_spread import spread_prompts
from paceline.engine.errors import UnsupportedModelError
from paceline.engine.graph.manifest import WEIGHTS_FILE
from paceline.engine.graph.weights import open_weights
from paceline.models.prepared import NotPreparedError
from tests.end_to_end.tiny_cluster import SHAPE
from tests.orchestrator.byte_tokenizer import byte_tokenizer
from tests.paceline.cli.evaluation.reading.plans import Steps, random_plan, smollm2_plan
from tests.paceline.engine.tiny_models import stored_weights, write_prepared


@pytest.fixture(autouse=True)
def _few_repeats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats_module, "NUM_REPEATS", 2)


def check(reading: FormatReading) -> None:
    """What holds of every matrix."""
    reference = reading.targets[0]
    assert reference.agreement == 1.0
    assert {one.reference for one in reading.targets} == {reference.reference}
    for target in reading.targets:
        assert 0 <= target.agreement <= 1
        assert math.isfinite(target.perplexity)
        assert target.perplexity > 1
        assert target.resident_bytes > target.weight_bytes / 2  # as far as its pages were touched
        assert 0 < target.step_seconds.low <= target.step_seconds.value <= target.step_seconds.high
        assert target.verify_seconds.value > 0
    for pair in reading.pairs:
        assert 0 <= pair.acceptance <= 1
        assert pair.best_num_draft_tokens in {2, 4}
        assert 0 < pair.expected_speed_up < 5
        assert pair.relative_speed > 0


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_real_pair_in_two_formats_each() -> None:
    steps = Steps()
    reading = read_formats(smollm2_plan("int4"), ("int4", "int8"), ("u8", "auto"), steps)
    steps.check()
    check(reading)
    expected = [("int8", "f32"), ("int8", "u8"), ("int4", "f32"), ("int4", "u8")]
    assert [(one.weights, one.kv_precision) for one in reading.targets] == expected
    assert [(one.weights, one.kv_precision) for one in reading.drafts] == expected
    assert len(reading.pairs) == 8
    assert reading.targets[0].reference == "int8 weights, f32 KV"
    assert [one.is_batch_invariant for one in reading.targets] == [True, False, True, False]
    assert reading.targets[0].weight_bytes > reading.targets[2].weight_bytes
    assert reading.targets[2].agreement < 1
    assert all(one.acceptance > 0.4 for one in reading.pairs)
    assert [note for note in reading.notes if "left out" in note] == []


@pytest.fixture
def formats_of_models(random_models: dict[str, Path], tmp_path: Path) -> dict[tuple[str, str], Path]:
    """Prepared directories of two models in two formats, by name and format."""
    found = {(name, "f32"): random_models[name] for name in ("target", "good")}
    for name in ("target", "good"):
        directory = random_models[name]
        stored = dict(open_weights(directory / WEIGHTS_FILE))
        wide = {layer: values.astype(np.float32) for layer, values in stored.items()}
        byte_tokenizer().save(tmp_path / name)
        found[name, "int8"] = write_prepared(tmp_path / name, SHAPE, stored_weights(wide, "int8"), "int8")
    return found


def test_all_formats_that_can_be_had_are_read_and_paired(
    random_models: dict[str, Path],
    formats_of_models: dict[tuple[str, str], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def find(source: str, weights: str) -> Path:
        if (source, weights) not in formats_of_models:
            raise NotPreparedError(source, weights)
        return formats_of_models[source, weights]

    monkeypatch.setattr(formats_module, "find_prepared", find)
    plan = random_plan(random_models, ("good",))
    target, draft = (replace(one, source=one.name) for one in (plan.target, *plan.drafts))
    steps = Steps()
    plan = replace(plan, target=target, drafts=(draft,))
    reading = read_formats(plan, ("int4", "int8", "f32"), ("auto",), steps)
    steps.check()
    check(reading)
    assert [one.weights for one in reading.targets] == ["f32", "int8"]
    assert [one.weights for one in reading.drafts] == ["f32", "int8"]
    assert [(one.draft_weights, one.target_weights) for one in reading.pairs] == [
        (draft, target) for draft in ("f32", "int8") for target in ("f32", "int8")
    ]
    assert reading.targets[0].reference == "f32 weights, f32 KV"
    left_out = [note for note in reading.notes if "left out" in note]
    assert [note.partition(" was left out: ")[0] for note in left_out] == ["target int4", "good int4"]
    assert "there is no model or pair 'good'" in left_out[1]
    assert any("Perplexity is that of" in note for note in reading.notes)


def test_kv_that_cannot_be_had_is_a_note_and_the_rest_is_read(random_models: dict[str, Path]) -> None:
    plan = random_plan(random_models, ())
    reading = read_formats(plan, ("f32", "int4"), ("u8", "f64", "auto"), ignore_progress)
    check(reading)
    assert [one.kv_precision for one in reading.targets] == ["f32", "u8"]  # the reference is not quantised
    assert [one.is_batch_invariant for one in reading.targets] == [True, False]
    assert (reading.drafts, reading.pairs) == ((), ())
    assert len([note for note in reading.notes if note.startswith("target f32, f64 KV was left out: ")]) == 1
    [note] = [note for note in reading.notes if "prepared directory" in note]
    assert note.startswith("target is a prepared directory, which has f32 weights; int4 would")


def test_an_unknown_format_is_refused(random_models: dict[str, Path]) -> None:
    with pytest.raises(UnsupportedModelError, match="int3"):
        read_formats(random_plan(random_models, ()), ("int3",), ("auto",), ignore_progress)


def test_prompts_are_taken_from_all_kinds_in_turn() -> None:
    prompts = [BenchPrompt(name[0], name, "") for name in ("a1", "a2", "a3", "b1", "c1", "c2")]

    def names(max_prompts: int) -> list[str]:
        return [prompt.name for prompt in spread_prompts(prompts, max_prompts)]

    assert names(4) == ["a1", "b1", "c1", "a2"]
    assert names(9) == ["a1", "b1", "c1", "a2", "c2", "a3"]
