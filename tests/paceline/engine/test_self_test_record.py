"""What a self-test found is found again under the same circumstances only, and never trusted with other bits."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest

from paceline.engine.batch import Batch
from paceline.engine.engine import Engine, EngineConfig
from paceline.engine.errors import SelfTestError
from paceline.engine.graph.manifest import WEIGHTS_FILE
from paceline.engine.self_test import SelfTestReport, run_self_test
from paceline.engine.self_test_record import FOLDER, SelfTestRecord
from paceline.engine.work import Logits
from tests.paceline.engine.hash_runner import VOCABULARY_SIZE, HashRunner
from tests.paceline.engine.tiny_models import LLAMA, random_weights, stored_weights, write_prepared

REPORT = SelfTestReport(True, 4, 80, (), "00ff", 17)
SETTINGS = {"compute_precision": "f32", "num_threads": 2}


class CountingRunner(HashRunner):
    """Counts its passes."""

    num_passes = 0

    def forward(self, batch: Batch) -> Logits:
        self.num_passes += 1
        return super().forward(batch)


@pytest.fixture
def prepared(tmp_path: Path) -> Path:
    return write_prepared(tmp_path, LLAMA, stored_weights(random_weights(LLAMA), "int8"), "int8")


def test_a_known_verdict_with_the_same_bits_takes_one_pass() -> None:
    runner = CountingRunner(100)
    found = replace(run_self_test(runner, VOCABULARY_SIZE), min_rows=4)  # pyright: ignore[reportArgumentType]
    runner.num_passes = 0
    again = run_self_test(runner, VOCABULARY_SIZE, found)  # pyright: ignore[reportArgumentType]
    assert runner.num_passes == 1
    assert replace(again, longest_pass_ns=0) == replace(found, longest_pass_ns=0)


def test_a_known_verdict_on_other_bits_counts_for_nothing() -> None:
    runner = CountingRunner(100)
    report = run_self_test(runner, VOCABULARY_SIZE, REPORT)  # pyright: ignore[reportArgumentType]
    assert runner.num_passes > 1
    assert (report.min_rows, report.num_rows_compared) == (1, 80)


def test_a_report_is_read_as_it_was_written(prepared: Path) -> None:
    assert SelfTestRecord(prepared, SETTINGS).read() is None
    SelfTestRecord(prepared, SETTINGS).write(REPORT)
    assert SelfTestRecord(prepared, SETTINGS).read() == REPORT


def test_other_circumstances_have_a_record_of_their_own(
    prepared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    SelfTestRecord(prepared, SETTINGS).write(REPORT)
    assert SelfTestRecord(prepared, {**SETTINGS, "num_threads": 1}).read() is None
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    assert SelfTestRecord(prepared, SETTINGS).read() is None
    monkeypatch.undo()
    assert SelfTestRecord(prepared, SETTINGS).read() == REPORT
    (prepared / WEIGHTS_FILE).touch()
    assert SelfTestRecord(prepared, SETTINGS).read() is None


def test_a_damaged_record_counts_for_nothing(prepared: Path) -> None:
    SelfTestRecord(prepared, SETTINGS).write(REPORT)
    [path] = (prepared / FOLDER).iterdir()
    for text in ("", "[]", "{}", '{"batch_invariant": true}'):
        path.write_text(text)
        assert SelfTestRecord(prepared, SETTINGS).read() is None


def test_a_directory_that_cannot_be_written_to_keeps_no_record(prepared: Path) -> None:
    (prepared / FOLDER).write_text("in the way")
    SelfTestRecord(prepared, SETTINGS).write(REPORT)
    assert SelfTestRecord(prepared, SETTINGS).read() is None


@pytest.mark.parametrize("self_test", ["remembered", "always"])
def test_an_engine_that_starts_again_reports_the_same(prepared: Path, self_test: str) -> None:
    config = EngineConfig(prepared, 1 << 20, 1, self_test=self_test)  # pyright: ignore[reportArgumentType]
    reports: list[SelfTestReport] = []
    for _ in range(2):
        with Engine.load(config) as engine:
            reports.append(replace(engine.info.self_test, longest_pass_ns=0))
    assert reports[0] == reports[1]
    assert reports[0].batch_invariant


def test_a_failure_is_remembered_but_nothing_is_refused_from_memory(prepared: Path) -> None:
    def load(batch_invariant: Literal["require", "prefer"]) -> tuple[str, ...]:
        config = EngineConfig(
            prepared, 1 << 20, num_threads=1, kv_precision="u8", batch_invariant=batch_invariant
        )
        with Engine.load(config) as engine:
            return engine.info.self_test.failed_checks

    assert load("prefer") == ("one row a pass",)
    [path] = (prepared / FOLDER).iterdir()
    told = {**json.loads(path.read_text()), "failed_checks": ["as remembered"]}
    path.write_text(json.dumps(told))
    assert load("prefer") == ("as remembered",)
    with pytest.raises(SelfTestError) as caught:
        load("require")
    assert caught.value.facts == {"check": "one row a pass"}
