"""The measurement of passes, end to end, on a model that takes no time."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="torch is not installed (`make setup` installs it)")

from tests.paceline.engine.pytorch.flex_here import require_flex

ROOT = Path(__file__).resolve().parents[2]
SMALL = ("--shape", "tiny", "--device", "cpu", "--context", "40", "--repeats", "2", "--warm-up", "1")

pytestmark = pytest.mark.reference


def accelerator(cache_dir: Path, *options: str) -> str:
    """Run the benchmark with a models' cache of its own; returns what it printed."""
    # One core, since threads that wait for each other cost more than so small a model.
    core = str(min(os.sched_getaffinity(0)))
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.accelerator", *SMALL, "--cores", core, *options],
        cwd=ROOT,
        env=os.environ | {"PACELINE_CACHE_DIR": str(cache_dir)},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_every_case_is_measured_in_both_modes_and_written_down(tmp_path: Path) -> None:
    output = tmp_path / "results.json"
    printed = accelerator(tmp_path, "--sessions", "1,2", "--rows", "1,5", "--output", str(output))
    document: dict[str, Any] = json.loads(output.read_text())
    cases = {(one["mode"], one["num_sessions"], one["num_rows"]) for one in document["results"]}
    assert cases == {(mode, num, rows) for mode in ("exact", "off") for num in (1, 2) for rows in (1, 5)}
    assert all(one["forward_ms"]["median"] > 0 < one["floor_ms"] for one in document["results"])
    assert document["loaded"]["exact"]["is_batch_invariant"], "exact is what the mode is called"
    assert not document["loaded"]["off"]["is_batch_invariant"], "nobody has tested it"
    assert (document["left_out"], document["weight_bytes_read"]) == ([], 4 * 106_816)
    assert "RANDOM weights" in printed
    assert "| context | sessions | mode | 1 row, ms | x floor | 5 rows, ms | x floor | 5 over 1 |" in printed
    assert "exact over off" in printed


@pytest.mark.slow
def test_both_attentions_are_measured_beside_each_other(tmp_path: Path) -> None:
    require_flex()
    output = tmp_path / "results.json"
    ways = ("--modes", "exact", "--attention", "strides,flex", "--cuda-graphs", "auto,off")
    accelerator(tmp_path, "--sessions", "1", "--rows", "1,5", *ways, "--output", str(output))
    document: dict[str, Any] = json.loads(output.read_text())
    assert {one["mode"] for one in document["results"]} == document["loaded"].keys()
    attentions = {name: loaded["attention"] for name, loaded in document["loaded"].items()}
    assert attentions == {
        f"exact, {attention}, graphs {use}": attention
        for attention in ("strides", "flex")
        for use in ("auto", "off")
    }
    assert all(loaded["is_batch_invariant"] for loaded in document["loaded"].values())
    assert document["left_out"] == []
