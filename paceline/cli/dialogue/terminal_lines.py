"""Lines that somebody types at a terminal."""

import os
import sys
from pathlib import Path

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import WordCompleter
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent

from paceline.cli.dialogue.command_line import COMMANDS, SLASH
from paceline.cli.dialogue.line_source import CONTINUED, LineSource


class TerminalLines(LineSource):
    """Lines that somebody types, edited with the usual keys; the arrows bring back those of earlier runs too."""

    def __init__(self, history_file: Path | None) -> None:
        self._session: PromptSession[str] = PromptSession(
            history=_history(history_file),
            multiline=True,
            key_bindings=_keys(),
            completer=WordCompleter([f"{SLASH}{name}" for name in COMMANDS], sentence=True),
            complete_while_typing=False,
            prompt_continuation="  ",
        )

    async def read(self) -> str | None:
        """Return the next message or command; Ctrl-C empties the line, Ctrl-D in an empty one is the end."""
        while True:
            try:
                return await self._session.prompt_async("> ")
            except KeyboardInterrupt:
                print("(Ctrl-D leaves)", file=sys.stderr)
            except EOFError:
                return None


def _keys() -> KeyBindings:
    keys = KeyBindings()

    @keys.add("enter")
    def send(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        if buffer.document.is_cursor_at_the_end and buffer.text.endswith(CONTINUED):
            buffer.delete_before_cursor()
            buffer.newline(copy_margin=False)
        else:
            buffer.validate_and_handle()

    @keys.add("escape", "enter")
    @keys.add("c-j")
    def begin_line(event: KeyPressEvent) -> None:
        event.current_buffer.newline(copy_margin=False)

    return keys


def _history(path: Path | None) -> History:
    """Return what was typed before; only in memory where the file cannot be had."""
    if path is None:
        return InMemoryHistory()
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))
    except OSError:
        return InMemoryHistory()
    return FileHistory(str(path))
