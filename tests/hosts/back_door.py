"""A way to a host's service that no cut closes: a socket file in front of a port, for the test's own questions."""

import asyncio
import socket
from contextlib import suppress
from pathlib import Path

from tests.hosts.namespace import inside

_LOOPBACK = "127.0.0.1"
_CHUNK_BYTES = 1 << 16


class BackDoor:
    """Carries connections to a socket file on to a port of the namespace's loopback device."""

    def __init__(self, path: Path, namespace: int, port: int) -> None:
        self._path = path
        self._namespace = namespace
        self._port = port

    async def open(self) -> None:
        """Begin to carry."""
        self._server = await asyncio.start_unix_server(self._accept, self._path)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with inside(self._namespace):
            inner = socket.socket()
        inner.setblocking(False)
        writers = [writer]
        try:
            await asyncio.get_running_loop().sock_connect(inner, (_LOOPBACK, self._port))
            inner_reader, inner_writer = await asyncio.open_connection(sock=inner)
            writers.append(inner_writer)
            pumps = [
                asyncio.create_task(_pump(reader, inner_writer)),
                asyncio.create_task(_pump(inner_reader, writer)),
            ]
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            for pump in pumps:
                pump.cancel()
        except OSError:
            pass  # nobody listens yet, or any more
        finally:
            for one in writers:
                one.close()
            inner.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while chunk := await reader.read(_CHUNK_BYTES):
            writer.write(chunk)
            await writer.drain()
