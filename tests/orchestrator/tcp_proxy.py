"""A wire between two sockets: it may be long, and when it is cut, neither end notices and what is sent is swallowed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Wire:
    """Accepts connections even while it is cut; nothing is forwarded then, and what was lost is not sent again."""

    def __init__(self, delay_seconds: float) -> None:
        self._delay_seconds = delay_seconds
        self.address = ""
        self.is_cut = False
        self._tasks: set[asyncio.Task[None]] = set()

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, address: str) -> None:
        host, port = address.split(":")
        far_reader, far_writer = await asyncio.open_connection(host, int(port))
        for source, sink in ((reader, far_writer), (far_reader, writer)):
            task = asyncio.create_task(self._forward(source, sink))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _forward(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(1 << 16):
                await asyncio.sleep(self._delay_seconds)
                if not self.is_cut:
                    sink.write(data)
                    await sink.drain()
        except ConnectionError:
            pass
        finally:
            sink.close()

    def close(self) -> None:
        for task in self._tasks:
            task.cancel()


@asynccontextmanager
async def wire_to(address: str, delay_seconds: float = 0.0) -> AsyncIterator[Wire]:
    """Forward connections to an address for as long as the block runs; what is sent arrives after the delay."""
    wire = Wire(delay_seconds)
    server = await asyncio.start_server(
        lambda reader, writer: wire.accept(reader, writer, address), "127.0.0.1", 0
    )
    wire.address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield wire
    finally:
        server.close()
        wire.close()
