"""Draws a view: lines that are never wider than the terminal, and never more of them than it has rows."""

from rich.text import Text

from paceline.cli.monitor.columns import num_lines_of
from paceline.cli.monitor.gauges import fair_rows
from paceline.cli.monitor.summary import orchestrator_lines, speed_lines, title_line, trouble_lines
from paceline.cli.monitor.tables import pool_table, session_table
from paceline.cli.monitor.view import View

_WIDE_COLUMNS = 120


def frame(view: View, width: int, height: int | None = None) -> list[Text]:
    """Return at most `height` lines of at most `width` columns; without a height, as many lines as it takes."""
    is_wide = width >= _WIDE_COLUMNS
    head = [
        title_line(view),
        *orchestrator_lines(view.answers),
        Text(),
        *speed_lines(view, width),
        *trouble_lines(view),
    ]
    wanted = [num_lines_of(view.targets), num_lines_of(view.drafts), num_lines_of(view.sessions)]
    num_blank = len(wanted)  # one before each table
    given = fair_rows(height - len(head) - num_blank, wanted) if height is not None else wanted
    tables = (
        pool_table("TARGETS", "pass ms", view.targets, given[0], is_wide=is_wide),
        pool_table("DRAFTS", "step ms", view.drafts, given[1], is_wide=is_wide),
        session_table(view.sessions, view.num_sessions, given[2], is_wide=is_wide),
    )
    lines = [*head, *(line for lines in tables for line in (Text(), *lines))]
    for line in lines:
        line.truncate(width, overflow="ellipsis")
    return lines if height is None else lines[:height]
