"""One line of live statistics that stays below the streamed text."""

import shutil
import sys
from time import monotonic
from types import TracebackType
from typing import Self

REFRESH_SECONDS = 0.1
SAVE_CURSOR, RESTORE_CURSOR, CLEAR_LINE, DIM, RESET = "\x1b7", "\x1b8", "\x1b[2K", "\x1b[2m", "\x1b[0m"


class StatusRow:
    """The last row of the terminal, kept out of the scrolling region inside a `with` (DECSTBM).

    Where text does not go to the same terminal, the line is rewritten in place instead. `is_shown` false does
    nothing at all.
    """

    def __init__(self, *, is_shown: bool) -> None:
        self._is_shown = is_shown
        self._shares_terminal = sys.stdout.isatty()
        self._shown_at = 0.0
        self._num_rows = 0

    def __enter__(self) -> Self:
        if self._is_shown and self._shares_terminal:
            self._num_rows = shutil.get_terminal_size().lines
            # A new line first, so that the cursor is not in the row that is set apart.
            region = f"\x1b[1;{self._num_rows - 1}r"
            self._write(f"\n{SAVE_CURSOR}{region}{RESTORE_CURSOR}\x1b[1A")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if not self._is_shown:
            return
        if self._shares_terminal:
            self._write(f"{SAVE_CURSOR}\x1b[r\x1b[{self._num_rows};1H{CLEAR_LINE}{RESTORE_CURSOR}")
        else:
            self._write(f"\r{CLEAR_LINE}")

    def update(self, line: str) -> None:
        """Show a line, at most ten times a second."""
        if not self._is_shown or monotonic() - self._shown_at < REFRESH_SECONDS:
            return
        self._shown_at = monotonic()
        line = f"{DIM}{line[: shutil.get_terminal_size().columns - 1]}{RESET}"
        if self._shares_terminal:
            self._write(f"{SAVE_CURSOR}\x1b[{self._num_rows};1H{CLEAR_LINE}{line}{RESTORE_CURSOR}")
        else:
            self._write(f"\r{CLEAR_LINE}{line}")

    def _write(self, text: str) -> None:
        sys.stdout.flush()
        sys.stderr.write(text)
        sys.stderr.flush()
