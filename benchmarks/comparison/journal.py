"""Finished cells, one JSON line each, so that an interrupted run goes on where it was."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from benchmarks.comparison.trial import MeasuredCell

_CELLS = TypeAdapter(MeasuredCell)


@dataclass(frozen=True)
class Journal:
    """The file of one output directory."""

    path: Path

    def start(self, *, is_resumed: bool) -> Mapping[str, MeasuredCell]:
        """Return the finished cells by key, or forget them where the run begins anew.

        A last line that was cut off by an interruption is left out.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if not is_resumed:
            self.path.write_bytes(b"")
            return {}
        return self.read()

    def read(self) -> dict[str, MeasuredCell]:
        """Return the finished cells by key, the last of each."""
        if not self.path.exists():
            return {}
        cells: dict[str, MeasuredCell] = {}
        for line in self.path.read_bytes().splitlines():
            try:
                cell = _CELLS.validate_json(line)
            except ValidationError:
                continue
            cells[cell.key] = cell
        return cells

    def add(self, cell: MeasuredCell) -> None:
        """Write a finished cell."""
        with self.path.open("ab") as file:
            file.write(_CELLS.dump_json(cell) + b"\n")
