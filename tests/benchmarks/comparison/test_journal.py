"""Finished cells on disk."""

from pathlib import Path

from benchmarks.comparison.cell import Cell
from benchmarks.comparison.journal import Journal
from benchmarks.comparison.system import OURS_TARGET
from tests.benchmarks.comparison.rig import measured

CELL = Cell("draft=0,target=1", "code", 1, (OURS_TARGET,))


def test_a_resumed_run_finds_the_cells_of_the_one_before(tmp_path: Path) -> None:
    one = measured(CELL, ours_target=(1.0, 2.0)).measured
    Journal(tmp_path / "results" / "cells.jsonl").start(is_resumed=False)
    Journal(tmp_path / "results" / "cells.jsonl").add(one)
    assert Journal(tmp_path / "results" / "cells.jsonl").start(is_resumed=True) == {one.key: one}


def test_a_new_run_forgets_them(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "cells.jsonl")
    journal.add(measured(CELL, ours_target=(1.0,)).measured)
    assert journal.start(is_resumed=False) == {}
    assert journal.read() == {}


def test_a_line_that_was_cut_off_is_measured_again(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "cells.jsonl")
    one = measured(CELL, ours_target=(1.0,)).measured
    journal.add(one)
    whole = journal.path.read_bytes()
    journal.path.write_bytes(whole + whole[: len(whole) // 2])
    assert journal.read() == {one.key: one}
