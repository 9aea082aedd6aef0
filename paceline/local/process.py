"""A child process that cannot outlive its supervisor."""

import asyncio
import os
import sys
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGKILL, SIGTERM
from typing import Self

from paceline.local import lifeline


@dataclass(frozen=True)
class Command:
    """What to run: `arguments` with the program first, on `cores` (all that there are where it is None)."""

    name: str
    arguments: tuple[str, ...]
    cores: frozenset[int] | None = None
    environment: Mapping[str, str] = field(
        default_factory=dict[str, str]
    )  # beside our own; not seen by others


class ChildProcess:
    """A running child with its own log file and its own process group, so that Ctrl-C reaches only us."""

    def __init__(self, command: Command, process: asyncio.subprocess.Process, log_path: Path) -> None:
        self.command = command
        self.log_path = log_path
        self._process = process

    @classmethod
    async def start(cls, command: Command, log_path: Path) -> Self:
        """Start the command; what it prints goes to the log."""
        with log_path.open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *_with_lifeline(command),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,
                env={**os.environ, **command.environment},
            )
        return cls(command, process, log_path)

    @property
    def name(self) -> str:
        """The name that status lines and errors use."""
        return self.command.name

    @property
    def pid(self) -> int:
        """The process id, also after the end."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """The exit code, negative for a signal; None while the process runs."""
        return self._process.returncode

    async def wait(self) -> int:
        """Wait for the end and return the exit code."""
        return await self._process.wait()

    async def stop(self, grace_seconds: float) -> int:
        """Ask the process to end, make it end after the grace period, and return its exit code."""
        self._signal(SIGTERM)
        try:
            return await asyncio.wait_for(self.wait(), grace_seconds)
        except TimeoutError:
            self.kill()
            return await self.wait()

    def kill(self) -> None:
        """End the process at once."""
        self._signal(SIGKILL)

    def last_lines(self, num_lines: int = 15) -> tuple[str, ...]:
        """Return the end of the log."""
        with self.log_path.open(encoding="utf-8", errors="replace") as log:
            return tuple(line.rstrip("\n") for line in deque(log, maxlen=num_lines))

    def _signal(self, number: int) -> None:
        if self.exit_code is None:
            with suppress(ProcessLookupError):
                self._process.send_signal(number)


def _with_lifeline(command: Command) -> tuple[str, ...]:
    cores = "any" if command.cores is None else ",".join(map(str, sorted(command.cores)))
    runner = (sys.executable, "-I", "-S", lifeline.__file__)
    return (*runner, str(os.getpid()), cores, *command.arguments)
