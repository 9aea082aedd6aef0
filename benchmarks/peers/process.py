"""A peer's process as the suite sees it."""

import asyncio
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from benchmarks.peers.exchange import (
    Failure,
    Load,
    Outcome,
    Ready,
    RoundTrips,
    read_envelope,
    write_order,
)
from benchmarks.peers.setup import PeerSetup, write_setup
from benchmarks.peers.worker import MAX_LINE_BYTES
from paceline.errors import PacelineError
from paceline.local.core_assignment import Cores, parse_cores
from paceline.local.process import ChildProcess, Command

READY_SECONDS = 600.0
# A cluster ends its own processes meanwhile; others have nothing to tidy up, and do not hear while they compute.
GRACE_SECONDS = {"ours": 40.0, "genai": 5.0, "transformers": 5.0}


class PeerFailedError(PacelineError):
    """A peer's process ended or refused its work (`peer`)."""

    reason = "PEER_FAILED"

    def __init__(self, setup: PeerSetup, why: str, last_lines: tuple[str, ...]) -> None:
        log = "".join(f"\n  {line}" for line in last_lines)
        super().__init__(f"{setup.peer}: {why}. The end of its log:{log}", peer=setup.peer)


class PeerProcess:
    """A started and ready peer; one order at a time."""

    def __init__(
        self,
        setup: PeerSetup,
        child: ChildProcess,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._setup = setup
        self._child = child
        self._reader = reader
        self._writer = writer
        self._ready = Ready({}, "")

    @property
    def pids(self) -> Mapping[str, int]:
        """The processes that do the work, by role."""
        return self._ready.pids

    @property
    def about(self) -> str:
        """What computes, in words."""
        return self._ready.about

    async def wait_until_ready(self) -> None:
        """Wait until the peer has loaded its models; raises PeerFailedError."""
        message = await asyncio.wait_for(self._receive(), READY_SECONDS)
        assert isinstance(message, Ready)
        self._ready = message

    async def run(self, load: Load) -> Outcome:
        """Generate a load; raises PeerFailedError."""
        answer = await self._order(load)
        assert isinstance(answer, Outcome)
        return answer

    async def set_round_trips(self, round_trips: RoundTrips) -> RoundTrips:
        """Emulate other distances from now on, and return what was measured then; raises PeerFailedError."""
        answer = await self._order(round_trips)
        assert isinstance(answer, RoundTrips)
        return answer

    async def _order(self, order: Load | RoundTrips) -> Ready | Outcome | RoundTrips:
        self._writer.write(write_order(order))
        await self._writer.drain()
        return await self._receive()

    async def _receive(self) -> Ready | Outcome | RoundTrips:
        line = await self._reader.readline()
        if not line:
            exit_code = await self._child.wait()
            raise PeerFailedError(self._setup, f"ended with code {exit_code}", self._child.last_lines())
        message = read_envelope(line)
        if isinstance(message, Failure):
            raise PeerFailedError(self._setup, message.message, self._child.last_lines())
        return message


@asynccontextmanager
async def peer_process(setup: PeerSetup, directory: Path, available: Cores) -> AsyncGenerator[PeerProcess]:
    """Run a peer inside a `with`, its socket and log in a directory of its own.

    Raises PeerFailedError, with the process ended.
    """
    socket_path = directory / "peer.sock"
    connections: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await connections.put((reader, writer))

    async with await asyncio.start_unix_server(connected, socket_path, limit=MAX_LINE_BYTES) as server:
        child = await ChildProcess.start(command_of(setup, socket_path, available), directory / "peer.log")
        try:
            reader, writer = await _connection(child, connections, setup)
            server.close()
            try:
                process = PeerProcess(setup, child, reader, writer)
                await process.wait_until_ready()
                yield process
            finally:
                writer.close()
                await _end(child, GRACE_SECONDS[setup.peer])
        finally:
            child.kill()


def command_of(setup: PeerSetup, socket_path: Path, available: Cores) -> Command:
    """Return how a peer's process is started: ours pins its own processes, the others use all cores that are named."""
    arguments = (sys.executable, "-m", "benchmarks.peers.worker", str(socket_path), write_setup(setup))
    prefix = ("unshare", "--net") if setup.has_network else ()
    cores = None if setup.peer == "ours" else all_cores(setup.cores, available)
    return Command(setup.peer, (*prefix, *arguments), cores)


def all_cores(text: str, available: Cores) -> Cores:
    """Return every core that an assignment names."""
    assignment = parse_cores(text, available)
    named = [assignment.draft, assignment.target, assignment.orchestrator]
    return Cores(core for cores in named if cores for core in cores)


async def _connection(
    child: ChildProcess,
    connections: "asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]]",
    setup: PeerSetup,
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    connecting = asyncio.ensure_future(connections.get())
    ending = asyncio.ensure_future(child.wait())
    try:
        await asyncio.wait((connecting, ending), return_when=asyncio.FIRST_COMPLETED)
        if connecting.done():
            return connecting.result()
        raise PeerFailedError(setup, f"ended with code {ending.result()}", child.last_lines())
    finally:
        connecting.cancel()
        ending.cancel()


async def _end(child: ChildProcess, grace_seconds: float) -> None:
    """Wait for a process that was hung up on; what does not end in time is made to."""
    try:
        await asyncio.wait_for(child.wait(), grace_seconds)
    except TimeoutError:
        child.kill()
        await child.wait()
