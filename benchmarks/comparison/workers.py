"""The peers' processes of a run: started when a cell needs them, ended when the next one does not."""

import tempfile
from collections.abc import Iterable
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from benchmarks.peers.process import PeerProcess, peer_process
from benchmarks.peers.setup import PeerSetup
from paceline.local.core_assignment import Cores


class Workers:
    """Inside a `with`, the processes that run; none outlives it."""

    def __init__(self, available: Cores) -> None:
        self._available = available
        self._running: dict[PeerSetup, tuple[PeerProcess, AsyncExitStack]] = {}
        self._warmed: dict[PeerSetup, set[str]] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.keep(())

    async def keep(self, setups: Iterable[PeerSetup]) -> None:
        """End every process but these."""
        for setup in self._running.keys() - set(setups):
            await self.end(setup)

    async def end(self, setup: PeerSetup) -> None:
        """End one process, if it runs."""
        if setup in self._running:
            _, stack = self._running.pop(setup)
            self._warmed.pop(setup, None)
            await stack.aclose()

    async def provide(self, setup: PeerSetup) -> PeerProcess:
        """Return a ready process, started where it does not run yet; raises PeerFailedError."""
        if setup not in self._running:
            async with AsyncExitStack() as stack:
                directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="paceline-bench-"))
                process = await stack.enter_async_context(
                    peer_process(setup, Path(directory), self._available)
                )
                self._running[setup] = (process, stack.pop_all())
        return self._running[setup][0]

    def warmed(self, setup: PeerSetup) -> set[str]:
        """Return the names of the prompts that a process has seen, to be added to."""
        return self._warmed.setdefault(setup, set())
