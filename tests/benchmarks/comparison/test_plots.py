"""Pictures of a run."""

from pathlib import Path

import pytest

from benchmarks.comparison.cell import Cell
from benchmarks.comparison.plots import draw_all
from benchmarks.comparison.presets import ONE_CORE_EACH
from benchmarks.peers.exchange import RoundTrips
from tests.benchmarks.comparison.rig import measured


def test_each_picture_is_drawn_where_there_is_something_to_compare(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    cells = [
        Cell(ONE_CORE_EACH, "code", 1, ()),
        Cell(ONE_CORE_EACH, "prose", 1, ()),
        Cell(ONE_CORE_EACH, "code", 16, ()),
        Cell(ONE_CORE_EACH, "code", 1, (), RoundTrips(0.0, 0.0)),
        Cell(ONE_CORE_EACH, "code", 1, (), RoundTrips(15.0, 0.0)),
    ]
    names = draw_all([measured(one, ours_target=(2.0,), ours_adaptive=(1.0,)) for one in cells], tmp_path)
    assert [name.partition("-draft")[0] for name in names] == [
        "speed-up-by-kind",
        "tokens-by-sessions",
        "speed-up-by-distance",
    ]
    for name in names:
        assert "<svg" in (tmp_path / name).read_text()
        assert (tmp_path / name).with_suffix(".png").stat().st_size > 0


def test_one_cell_alone_makes_no_lines(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    assert draw_all([measured(Cell(ONE_CORE_EACH, "code", 4, ()), ours_target=(1.0,))], tmp_path) == []
