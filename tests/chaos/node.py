"""A process of the cluster that can be killed, paused, drained and started again at the same address."""

import asyncio
import os
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from signal import SIGCONT, SIGKILL, SIGSTOP, SIGTERM

from paceline.local.process import ChildProcess, Command
from tests.chaos.traced import END, TELL

POLL_SECONDS = 0.05
# What SIGTERM may take: the grace period of the services, and as much again on a busy machine.
END_SECONDS = 20.0
TELL_SECONDS = 1.0
LOW_PRIORITY = 8  # of nice(2)


class Node:
    """One program of the cluster; a new process of it finds nothing of the old one but its files."""

    def __init__(self, command: Command, log_path: Path, answers: Callable[[], Awaitable[bool]]) -> None:
        self.command = command
        self.log_path = log_path
        self.failures: list[str] = []  # ends that were not asked for or not as they should be
        self.num_starts = 0
        self._answers = answers
        self._child: ChildProcess | None = None
        self._is_ending = False

    @property
    def name(self) -> str:
        return self.command.name

    @property
    def pid(self) -> int | None:
        """Pid of the process, None where there is none."""
        return None if self._child is None else self._child.pid

    async def start(self) -> None:
        """Start the process; it serves a little later."""
        assert self._child is None, f"{self.name} runs already"
        self._is_ending = False
        self.num_starts += 1
        self._child = await ChildProcess.start(self.command, self.log_path)

    async def is_ready(self) -> bool:
        """Whether it serves."""
        child = self._child
        if child is None:
            return False
        if child.exit_code is not None and not self._is_ending:
            self.failures.append(f"{self.name} ended by itself with code {child.exit_code}")
            self._is_ending = True
        return child.exit_code is None and await self._answers()

    async def until_ready(self) -> None:
        """Wait until it serves; whoever waits has the time limit."""
        while not await self.is_ready():
            if self._child is None or self._child.exit_code is not None:
                raise RuntimeError(f"{self.name} has ended: {self.failures}; see {self.log_path}")
            await asyncio.sleep(POLL_SECONDS)

    async def kill(self) -> None:
        """SIGKILL."""
        await self._end(SIGKILL, -SIGKILL, END_SECONDS)

    async def drain(self, within_seconds: float = END_SECONDS) -> None:
        """SIGTERM; the process must end by itself with code 0. SIGKILL, which is a failure, after so many seconds."""
        await self._end(SIGTERM, 0, within_seconds)

    def pause(self) -> None:
        """SIGSTOP."""
        self._signal(SIGSTOP)

    def go_on(self) -> None:
        """SIGCONT."""
        self._signal(SIGCONT)

    def give_way(self) -> None:
        """Compute only what others leave; the process is the leader of a session of its own."""
        if self._child is None or self._child.exit_code is not None:
            return
        os.setpriority(os.PRIO_PGRP, self._child.pid, LOW_PRIORITY)
        # Where sessions share a machine by sched(7)'s autogroups, nice counts inside of them only.
        with suppress(OSError):
            Path(f"/proc/{self._child.pid}/autogroup").write_text(str(LOW_PRIORITY), encoding="utf-8")

    async def tasks(self) -> list[str]:
        """Return where each task of the process waits, as tests.chaos.traced tells it."""
        num_bytes = self.log_path.stat().st_size
        self._signal(TELL)
        while not (told := _told(self.log_path, num_bytes)):  # noqa: ASYNC110, it is another process
            await asyncio.sleep(POLL_SECONDS)
        return told

    async def stop(self) -> None:
        """End it in order, if it runs."""
        if self._child is not None:
            self.go_on()
            await self.drain()

    async def _end(self, number: int, expected_code: int, within_seconds: float) -> None:
        child = self._child
        assert child is not None
        self._is_ending = True
        self._signal(number)
        try:
            code = await asyncio.wait_for(child.wait(), within_seconds)
        except TimeoutError:
            self.failures.append(
                f"{self.name} did not end within {within_seconds:.0f} seconds of SIGTERM; "
                "its log says where its tasks were"
            )
            self._signal(TELL)
            await asyncio.sleep(TELL_SECONDS)
            child.kill()
            await child.wait()
        else:
            if code != expected_code:
                self.failures.append(f"{self.name} ended with code {code} instead of {expected_code}")
        self._child = None

    def _signal(self, number: int) -> None:
        if self._child is not None and self._child.exit_code is None:
            os.kill(self._child.pid, number)


def _told(log_path: Path, num_bytes: int) -> list[str]:
    """Return what a log says of tasks after so many bytes; nothing where that is not complete."""
    with log_path.open("rb") as log:
        log.seek(num_bytes)
        text = log.read().decode(errors="replace")
    if END not in text:
        return []
    return re.findall(r"^task .* waits in\n(?:    .*\n)*", text, re.MULTILINE)
