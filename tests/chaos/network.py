"""The links of a cluster, seen from the test."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.chaos.link import LinkState
from tests.chaos.network_process import LIAR
from tests.paceline.serving.processes import ROOT


class Network:
    """Changes links one at a time; `ports` has the port of each."""

    def __init__(self, process: asyncio.subprocess.Process, ports: Mapping[str, int]) -> None:
        self._process = process
        self._ports = ports
        self._one_at_a_time = asyncio.Lock()

    def address(self, name: str) -> str:
        """HOST:PORT of the near end of a link, or of the lying draft."""
        return f"127.0.0.1:{self._ports[name]}"

    async def change(self, link: str, state: LinkState, delay_seconds: float = 0.0) -> None:
        """Have a link go on in another way."""
        await self._tell({"name": link, "state": state.value, "delay_seconds": delay_seconds})

    async def lie(self, *, lies: bool) -> None:
        """Have the lying draft come or go."""
        await self._tell({"name": LIAR, "lies": lies})

    async def _tell(self, command: Mapping[str, Any]) -> None:
        async with self._one_at_a_time:
            await ask(self._process, command)


@asynccontextmanager
async def network(destinations: Mapping[str, Path], log_path: Path) -> AsyncIterator[Network]:
    """Carry links to the sockets at their destinations for as long as the block runs."""
    with log_path.open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.chaos.network_process"),
            cwd=ROOT,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
        )
    assert process.stdin is not None
    try:
        ports = await ask(process, {name: str(path) for name, path in destinations.items()})
        yield Network(process, ports)
    finally:
        process.stdin.close()
        await process.wait()


async def ask(process: asyncio.subprocess.Process, question: Mapping[str, Any]) -> dict[str, Any]:
    """Send a line and return the answer."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(question).encode() + b"\n")
    line = await process.stdout.readline()
    assert line, "the network's process has ended; its log says why"
    return json.loads(line)
