"""Results as people and programs read them."""

import json

import pytest

from benchmarks.comparison.cell import Cell
from benchmarks.comparison.load_plan import Amount
from benchmarks.comparison.models import ModelPlan
from benchmarks.comparison.presets import SHARED_CORES
from benchmarks.comparison.report import Report
from benchmarks.comparison.system import GENAI_TARGET, OURS_ADAPTIVE, OURS_TARGET
from paceline.cli.benchmark.machine import Machine
from tests.benchmarks.comparison.rig import measured

CELL = Cell(SHARED_CORES, "code", 1, (OURS_TARGET, OURS_ADAPTIVE, GENAI_TARGET))


@pytest.fixture
def report() -> Report:
    return Report(
        "python -m benchmarks.suite",
        Machine("a core", 2, 2, 24.0, "6.1"),
        {"openvino": "2026.4.1"},
        ModelPlan("reference", "int8", "int4", "int4", "int8", None),
        Amount(2, 1, 1, 64, 1),
        [measured(CELL, ours_target=(2.0, 2.0), ours_adaptive=(1.0, 1.0), genai_target=(4.0, 4.0))],
        ["chat: refused"],
    )


def test_the_page_has_every_system_of_a_cell_and_what_was_left_out(report: Report) -> None:
    page = report.to_markdown()
    (row,) = [line for line in page.splitlines() if line.startswith("| Paceline, adaptive")]
    assert "2.00 (2.00-2.00) | 4.00 (4.00-4.00)" in row
    assert "chat: refused" in page
    assert "in all 2 answers" in page
    tables = [line for line in page.splitlines() if line.startswith("| ")]
    assert {line.count("|") for line in tables} == {7, 12}


def test_the_json_has_ratios_and_verdicts(report: Report) -> None:
    document = json.loads(report.to_json())
    (cell,) = document["cells"]
    ratios = {(one["system"], one["base"]): one["tokens_per_second"]["median"] for one in cell["ratios"]}
    assert ratios["ours-adaptive", "genai-target"] == 4.0
    assert {one["show"] for one in document["verdicts"] if one["holds"]} == {2, 3}
    assert document["differing"] == []
