"""The addresses of a Service: what kube-proxy does, for processes on one machine."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

_CHUNK_BYTES = 1 << 16


class VirtualService:
    """Carries each connection to one of the endpoints that there are when it comes, and stays with that.

    A pod that ends is no endpoint any more; the connections that it has stay its own until it closes them.

    Attributes:
        num_connections: How many were carried.
        num_refused: How many came while there was no endpoint.
    """

    def __init__(self, endpoints: Callable[[], Sequence[str]]) -> None:
        self._endpoints = endpoints
        self._carrying: set[asyncio.Task[None]] = set()
        self.num_connections = 0
        self.num_refused = 0

    @asynccontextmanager
    async def listening(self, hosts: Sequence[str], port: int) -> AsyncIterator[None]:
        """Carry connections for as long as the block runs."""
        server = await asyncio.start_server(self._accept, hosts, port)
        try:
            yield
        finally:
            server.close()
            for carrying in self._carrying:
                carrying.cancel()
            await asyncio.gather(*self._carrying, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        carrying = asyncio.current_task()
        assert carrying is not None
        self._carrying.add(carrying)
        try:
            await self._carry(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass  # an end has gone, or there was none
        finally:
            self._carrying.discard(carrying)
            writer.close()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        endpoints = self._endpoints()
        if not endpoints:
            self.num_refused += 1
            return
        self.num_connections += 1
        host, _, port = random.choice(endpoints).rpartition(":")
        far_reader, far_writer = await asyncio.open_connection(host, int(port))
        try:
            await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer))
        finally:
            far_writer.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Carry until the end, and then close the other connection, which ends the way back too."""
    try:
        while chunk := await reader.read(_CHUNK_BYTES):
            writer.write(chunk)
            await writer.drain()
    finally:
        writer.close()
