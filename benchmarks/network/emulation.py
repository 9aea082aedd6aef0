"""An emulated network around this process, which must stand in a namespace of its own: `unshare --net`."""

import asyncio
import json
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from benchmarks.network.places import Place
from benchmarks.network.probe import round_trip_seconds
from benchmarks.peers.exchange import RoundTrips
from paceline.errors import PacelineError


class NetworkRefusedError(PacelineError):
    """The namespaces or their devices could not be made."""

    reason = "NETWORK_REFUSED"


class Emulation:
    """A running network; `namespace_path` is where a pool's processes have to enter."""

    def __init__(self, process: asyncio.subprocess.Process, descriptors: dict[Place, int]) -> None:
        self._process = process
        self._descriptors = descriptors

    def namespace_path(self, place: Place) -> str:
        """Return the file that stands for a pool's namespace."""
        return f"/proc/{self._process.pid}/fd/{self._descriptors[place]}"

    async def set_round_trips(self, round_trips: RoundTrips) -> RoundTrips:
        """Emulate these round-trip times from now on; returns what a probe then measured."""
        delays = {Place.TARGET: round_trips.target_ms, Place.DRAFT: round_trips.draft_ms}
        one_way = {place.value: milliseconds / 2000 for place, milliseconds in delays.items()}
        assert self._process.stdin is not None
        self._process.stdin.write(f"{json.dumps(one_way)}\n".encode())
        await self._process.stdin.drain()
        target, draft = [await asyncio.to_thread(round_trip_seconds, place) for place in delays]
        return RoundTrips(1000 * target, 1000 * draft)


@asynccontextmanager
async def emulation() -> AsyncGenerator[Emulation]:
    """Run the network inside a `with`; raises NetworkRefusedError."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "benchmarks.network.forwarder",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        line = await process.stdout.readline()
        if not line:
            raise NetworkRefusedError("The emulated network did not start; its log says why.")
        descriptors = {Place(int(place)): number for place, number in json.loads(line).items()}
        yield Emulation(process, descriptors)
    finally:
        process.stdin.close()
        await process.wait()
