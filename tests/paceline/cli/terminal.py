"""A command on a pseudo terminal of its own, and somebody who types there."""

import asyncio
import contextlib
import os
import pty
import sys
import termios
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

# What the line editor sends when it begins to read: it wants pasted text to be marked.
PROMPT = "\x1b[?2004h"
CTRL_C, CTRL_D, CTRL_J, ALT_ENTER, ENTER, UP = "\x03", "\x04", "\n", "\x1b\r", "\r", "\x1b[A"
# Makes the terminal the controlling one, from which Ctrl-C comes. Not after a fork in here: gRPC has threads.
LAUNCHER = (
    "import fcntl, os, sys, termios; os.setsid(); fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
    "os.execv(sys.argv[1], sys.argv[1:])"
)
PATIENCE_SECONDS = 30


class Terminal:
    """What a command shows, and what is typed."""

    def __init__(self, process: asyncio.subprocess.Process, terminal: int) -> None:
        self.shown = ""
        self._process = process
        self._terminal = terminal
        self._num_passed = 0  # characters of `shown` that an `expect` has passed
        self._changed = asyncio.Event()
        self._ended = asyncio.Event()  # nobody holds the other side any more
        asyncio.get_running_loop().add_reader(terminal, self._read)

    @property
    def process(self) -> asyncio.subprocess.Process:
        """The command."""
        return self._process

    @property
    def settings(self) -> list[Any]:
        """What the terminal does with keys and output."""
        return termios.tcgetattr(self._terminal)

    def resize(self, rows: int, columns: int) -> None:
        """Change its size; the kernel tells the command."""
        termios.tcsetwinsize(self._terminal, (rows, columns))

    def type(self, text: str) -> None:
        os.write(self._terminal, text.encode())

    async def expect(self, text: str) -> str:
        """Wait until a text is shown, after what was expected before; returns what came until then."""
        ends_at = time.monotonic() + PATIENCE_SECONDS
        while (place := self.shown.find(text, self._num_passed)) < 0:
            assert time.monotonic() < ends_at, f"{text!r} is not in {self.shown[self._num_passed :]!r}"
            self._changed.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), 1.0)
        passed = self.shown[self._num_passed : place + len(text)]
        self._num_passed = place + len(text)
        return passed

    async def everything(self) -> str:
        """Wait until the command and all that it started are gone; returns all that was shown."""
        await asyncio.wait_for(self._ended.wait(), PATIENCE_SECONDS)
        return self.shown

    async def exit_code(self) -> int:
        """Wait for the end."""
        return await self._process.wait()

    def _read(self) -> None:
        try:
            piece = os.read(self._terminal, 65536)
        except OSError:  # EIO: the last process on the terminal has ended
            piece = b""
        if not piece:
            asyncio.get_running_loop().remove_reader(self._terminal)
            self._ended.set()
        self.shown += piece.decode(errors="replace")
        self._changed.set()


@asynccontextmanager
async def on_a_terminal(
    command: Sequence[str], env: Mapping[str, str], rows: int = 30, columns: int = 100
) -> AsyncIterator[Terminal]:
    """Run a command on a terminal inside a `with`, and end it there."""
    terminal, slave = pty.openpty()
    termios.tcsetwinsize(terminal, (rows, columns))
    # A terminal that is asked where its cursor is would have to answer.
    variables = {"TERM": "xterm", "PROMPT_TOOLKIT_NO_CPR": "1", **env}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", LAUNCHER, *command, stdin=slave, stdout=slave, stderr=slave, env=variables
    )
    os.close(slave)
    try:
        yield Terminal(process, terminal)
    finally:
        asyncio.get_running_loop().remove_reader(terminal)
        os.close(terminal)
        if process.returncode is None:
            process.kill()
            await process.wait()
