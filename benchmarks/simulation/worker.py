"""A process of the simulation as the one that started it sees it."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from signal import SIGKILL
from typing import TypeVar

from pydantic import TypeAdapter

from paceline.local.errors import ProcessFailedError

T = TypeVar("T")

ROOT = Path(__file__).resolve().parents[2]
END_SECONDS = 4.0
MAX_LINE_BYTES = 256 << 20


class Worker:
    """Takes wishes and answers them, one line each; see `process_entry`."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, log_path: Path) -> None:
        self.name = name
        self.pid = process.pid
        self._process = process
        self._log_path = log_path

    async def ask(self, wish: object, kind: type[T]) -> T:
        """Send a wish and return its answer; raises ProcessFailedError where the process has ended."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(TypeAdapter(type(wish)).dump_json(wish) + b"\n")
            await self._process.stdin.drain()
            line = await self._process.stdout.readline()
        except ConnectionError:
            line = b""
        if not line:
            raise await self._failure()
        return TypeAdapter(kind).validate_json(line)

    async def _failure(self) -> ProcessFailedError:
        exit_code = await self._process.wait()
        last_lines = self._log_path.read_text(errors="replace").splitlines()[-15:]
        return ProcessFailedError(self.name, exit_code, self._log_path, tuple(last_lines))

    async def stop(self) -> None:
        """Close its stdin, which ends it, and make it end if that takes too long."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), END_SECONDS)
        except TimeoutError:
            self._process.send_signal(SIGKILL)
            await self._process.wait()


@asynccontextmanager
async def working(module: str, name: str, directory: Path) -> AsyncIterator[Worker]:
    """Run a module of the simulation as a process for as long as the block runs; Ctrl-C reaches only us."""
    log_path = directory / f"{name}.log"
    with log_path.open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            f"benchmarks.simulation.{module}",
            str(os.getpid()),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
            cwd=ROOT,
            limit=MAX_LINE_BYTES,
            start_new_session=True,
        )
    worker = Worker(name, process, log_path)
    try:
        yield worker
    finally:
        await worker.stop()
