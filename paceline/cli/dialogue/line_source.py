"""Where the lines of a conversation come from."""

import signal
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager

CONTINUED = "\\"


class LineSource(ABC):
    """Messages and commands, each of one line or of several."""

    @abstractmethod
    async def read(self) -> str | None:
        """Return the next one; None at the end. Raises KeyboardInterrupt for Ctrl-C where nobody is typing."""


class PipedLines(LineSource):
    """Lines of stdin; a backslash at the end of a line joins the next one to it."""

    async def read(self) -> str | None:
        """Return the next message or command."""
        parts: list[str] = []
        while (line := self._line()) is not None:
            if not line.endswith(CONTINUED):
                return "\n".join([*parts, line])
            parts.append(line.removesuffix(CONTINUED))
        return "\n".join(parts) if parts else None

    def _line(self) -> str | None:
        # Nothing else is to be done until it is here, so that the loop may wait.
        with _interruptible():
            line = sys.stdin.readline()
        return line.rstrip("\n") if line else None


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let Ctrl-C raise KeyboardInterrupt at once, where asyncio would wait for its loop."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
