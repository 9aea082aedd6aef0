"""Tables of fixed columns, one line a row."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from rich.text import Text

R = TypeVar("R")


@dataclass(frozen=True)
class Column(Generic[R]):
    """A column: its title, its width, and what it shows of a row."""

    title: str
    width: int
    cell: Callable[[R], str | Text]
    is_right: bool = False

    def fitted(self, content: str | Text, style: str = "") -> Text:
        """Return content cut or filled up to the width."""
        text = Text(content, style) if isinstance(content, str) else content.copy()
        text.truncate(self.width, overflow="ellipsis")
        text.align("right" if self.is_right else "left", self.width)
        return text


def table(columns: Sequence[Column[R]], rows: Sequence[R], num_lines: int, empty: str) -> list[Text]:
    """Return a line of titles and one for each row, at most so many in all; the last one says how many are cut.

    `empty` is what stands there where there are no rows.
    """
    titles = Text(" ").join([one.fitted(one.title, "bold") for one in columns])
    if not rows:
        return [titles, Text(empty, "dim")][:num_lines]
    lines = [Text(" ").join([one.fitted(one.cell(row)) for one in columns]) for row in rows]
    room = num_lines - 1
    if len(lines) > room > 0:
        num_cut = len(lines) - room + 1
        lines = [*lines[: room - 1], Text(f"and {num_cut} more", "dim")]
    return [titles, *lines][: max(0, num_lines)]


def num_lines_of(rows: Sequence[object]) -> int:
    """Return how many lines a table of rows takes where there is room."""
    return 1 + max(1, len(rows))
