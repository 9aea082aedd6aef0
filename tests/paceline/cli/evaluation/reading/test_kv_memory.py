"""KV memory, predicted and measured in real processes."""

from pathlib import Path

import pytest

from paceline.cli.evaluation.findings import KvMemory
from paceline.cli.evaluation.reading import kv_memory as kv_memory_module
from paceline.cli.evaluation.reading.kv_memory import MemoryReading, page_notes, read_kv_memory
from paceline.cli.evaluation.reading.kv_probe import HeldBytes
from paceline.cli.evaluation.reading.plan import ignore_progress
from paceline.errors import ConfigError
from tests.paceline.cli.evaluation.reading import child_tasks
from tests.paceline.cli.evaluation.reading.plans import Steps, random_plan, smollm2_plan

BUDGET_BYTES = 64 << 20


def measured(memory: KvMemory) -> float:
    if memory.measured_bytes_per_token is None:
        pytest.skip("this kernel does not tell which pages a process has")
    return memory.measured_bytes_per_token


def check_measured(reading: MemoryReading) -> None:
    for memory in reading.memory:
        assert memory.num_measured_tokens == 512
        assert measured(memory) == pytest.approx(memory.predicted_bytes_per_token, rel=0.05)


def test_a_real_model_holds_what_its_architecture_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kv_memory_module, "time_rebuilds", child_tasks.find_no_memory)
    reading = read_kv_memory(smollm2_plan(), ("u8",), 100, BUDGET_BYTES, (100,), ignore_progress)
    [memory] = reading.memory
    assert (memory.role, memory.model) == ("target", "smollm2-135m-instruct")
    assert (memory.precision, memory.predicted_bytes_per_token) == ("u8", 13_680)
    assert (memory.session_tokens, memory.bytes_per_session) == (100, 128 * 13_680)
    assert memory.sessions_in_budget == (BUDGET_BYTES // (32 * 13_680) - 1) // 4
    check_measured(reading)
    assert reading.costs == ()
    assert any("rebuilding a cache was not measured: " in note for note in reading.notes)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_real_pair_holds_what_its_architectures_say_in_every_precision() -> None:
    reading = read_kv_memory(
        smollm2_plan("int4"), ("auto", "f16", "bf16", "u8", "u4"), 100, BUDGET_BYTES, (100,), ignore_progress
    )
    assert [one.precision for one in reading.memory] == ["f32", "f16", "bf16", "u8", "u4"] * 2
    check_measured(reading)


def test_each_model_is_measured_and_its_sessions_are_rebuilt(random_models: dict[str, Path]) -> None:
    steps = Steps()
    reading = read_kv_memory(
        random_plan(random_models, ("good",)), ("auto",), 48, BUDGET_BYTES, (12, 48), steps
    )
    steps.check()
    assert [(one.role, one.model, one.precision) for one in reading.memory] == [
        ("target", "target", "f32"),
        ("draft", "good", "f32"),
    ]
    check_measured(reading)
    assert [(one.role, one.num_tokens, one.kept_bytes) for one in reading.costs] == [
        (role, num_tokens, num_blocks * 32 * 128)
        for role in ("target", "draft")
        for num_tokens, num_blocks in ((12, 1), (48, 2))
    ]
    for cost in reading.costs:
        assert cost.rebuild_seconds > 0
        assert cost.rebuild_cpu_seconds > 0


def test_what_cannot_be_measured_is_predicted(
    random_models: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kv_memory_module, "probe_kv", child_tasks.find_no_memory)
    plan = random_plan(random_models, ())
    reading = read_kv_memory(plan, ("auto", "f32"), 1000, BUDGET_BYTES, (250, 1000), ignore_progress)
    assert [(one.role, one.model, one.precision) for one in reading.memory] == [("target", "target", "f32")]
    [memory] = reading.memory
    assert (memory.measured_bytes_per_token, memory.num_measured_tokens) == (None, 0)
    assert memory.predicted_bytes_per_token == 128
    assert sum("was not measured: " in note and "std::bad_alloc" in note for note in reading.notes) == 1
    assert {one.num_tokens for one in reading.costs} == {64}  # as long as the models' context is
    assert any("target has a context of 64 tokens" in note for note in reading.notes)


def test_an_unknown_precision_is_refused(random_models: dict[str, Path]) -> None:
    with pytest.raises(ConfigError, match="f8"):
        read_kv_memory(random_plan(random_models, ()), ("f8",), 100, BUDGET_BYTES, (100,), ignore_progress)


def test_memory_beyond_that_of_the_tokens_is_told_of_the_worst_cache_alone() -> None:
    held = {
        "one": HeldBytes(10_000_000, 11_000_000),
        "two": HeldBytes(10_000_000, 14_000_000),
        "untold": HeldBytes(None, None),
    }
    [note] = page_notes(held)
    assert "(two: 14.0 MB for 10.0 MB of keys and values)" in note
    assert page_notes({"full": HeldBytes(10_000_000, 10_300_000)}) == []
    assert page_notes({"untold": HeldBytes(None, None)}) == []
    assert page_notes({}) == []
