"""A TCP link between two processes that can be frozen, broken and slowed."""

import asyncio
import socket
import struct
from collections import deque
from contextlib import suppress
from enum import StrEnum
from typing import Any

_CHUNK_BYTES = 1 << 16
_BROKEN = (ConnectionError, OSError)


class LinkState(StrEnum):
    """What the link does with bytes."""

    OPEN = "open"
    PARTITION = "partition"  # takes connections and bytes and carries nothing until it is open again
    RESET = "reset"  # breaks every connection, also those that come


class Link:
    """Listens on a port of its own and carries each connection to the socket at `destination`."""

    def __init__(self, destination: str) -> None:
        self._destination = destination
        self._is_open = asyncio.Event()
        self._is_open.set()
        self._state = LinkState.OPEN
        self._delay_seconds = 0.0
        self._connections: set[asyncio.Task[None]] = set()
        self.port = 0

    async def listen(self) -> None:
        """Begin to carry."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    def change(self, state: LinkState, delay_seconds: float = 0.0) -> None:
        """Go on in another way; a delay holds for each direction."""
        self._state, self._delay_seconds = state, delay_seconds
        if state is LinkState.PARTITION:
            self._is_open.clear()
            return
        self._is_open.set()
        if state is LinkState.RESET:
            for connection in self._connections:
                connection.cancel()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = asyncio.current_task()
        assert connection is not None
        self._connections.add(connection)
        upstream: asyncio.StreamWriter | None = None
        try:
            if self._state is not LinkState.RESET:
                await self._is_open.wait()
                upstream_reader, upstream = await asyncio.open_unix_connection(self._destination)
                await self._carry(reader, writer, upstream_reader, upstream)
        except (*_BROKEN, asyncio.CancelledError):
            pass  # this end breaks as the other one did
        finally:
            self._connections.discard(connection)
            for one in (writer, upstream):
                if one is not None:
                    _abort(one)

    async def _carry(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        upstream_reader: asyncio.StreamReader,
        upstream: asyncio.StreamWriter,
    ) -> None:
        """Carry both ways until either end breaks; an end that is only done writing may still read."""
        ways = [
            asyncio.ensure_future(self._pump(reader, upstream)),
            asyncio.ensure_future(self._pump(upstream_reader, writer)),
        ]
        try:
            await asyncio.gather(*ways)
        finally:
            for way in ways:
                _drop(way)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        late: deque[tuple[float, bytes]] = deque()
        has_late = asyncio.Event()
        writing = asyncio.ensure_future(self._write_late(late, has_late, writer))
        read: asyncio.Future[bytes] | None = None
        try:
            while True:
                await self._is_open.wait()
                read = asyncio.ensure_future(reader.read(_CHUNK_BYTES))
                await asyncio.wait((read, writing), return_when=asyncio.FIRST_COMPLETED)
                if writing.done():
                    return await writing
                chunk = await read
                late.append((asyncio.get_running_loop().time() + self._delay_seconds, chunk))
                has_late.set()
                if not chunk:
                    return await writing
        finally:
            for one in (read, writing):
                if one is not None:
                    _drop(one)

    async def _write_late(
        self, late: deque[tuple[float, bytes]], has_late: asyncio.Event, writer: asyncio.StreamWriter
    ) -> None:
        while True:
            await has_late.wait()
            while late:
                due_at, chunk = late.popleft()
                if (seconds := due_at - asyncio.get_running_loop().time()) > 0:
                    await asyncio.sleep(seconds)
                await self._is_open.wait()
                if not chunk:
                    with suppress(*_BROKEN):
                        writer.write_eof()
                    return
                writer.write(chunk)
                await writer.drain()
            has_late.clear()


def _drop(future: "asyncio.Future[Any]") -> None:
    """End what nobody waits for any more; how it ends is of no interest."""
    future.cancel()
    future.add_done_callback(lambda done: done.cancelled() or done.exception())


def _abort(writer: asyncio.StreamWriter) -> None:
    """Break a connection the hard way, so that its peer sees a reset."""
    connection = writer.get_extra_info("socket")
    if connection is not None and connection.family != socket.AF_UNIX:
        with suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
