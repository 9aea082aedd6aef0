"""A client that writes its own bytes, reads as slowly as it likes, and goes without a word."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from tests.orchestrator.gateway.gateway_rig import HttpRig

# So that what the kernel keeps for a reader is little.
_RECEIVE_BUFFER_BYTES = 4096


@dataclass
class RawClient:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, path: str, body: Any, **headers: str) -> None:
        content = json.dumps(body).encode()
        lines = [
            f"POST {path} HTTP/1.1",
            "Host: localhost",
            "Content-Type: application/json",
            f"Content-Length: {len(content)}",
            *(f"{name}: {value}" for name, value in headers.items()),
        ]
        self.writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + content)
        await self.writer.drain()

    async def head(self) -> str:
        """The head of an answer."""
        return (await self.reader.readuntil(b"\r\n\r\n")).decode()

    async def rest(self) -> bytes:
        """Everything until the connection ends, however it does."""
        content = bytearray()
        try:
            while part := await self.reader.read(65536):
                content += part
        except ConnectionError:
            pass
        return bytes(content)

    def vanish(self) -> None:
        """Go without a word: what was sent and not read answers with a reset."""
        self.writer.transport.abort()


@asynccontextmanager
async def connected(rig: HttpRig) -> AsyncIterator[RawClient]:
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_BYTES)
    connection.setblocking(False)
    await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", rig.server.port))
    reader, writer = await asyncio.open_connection(sock=connection, limit=_RECEIVE_BUFFER_BYTES)
    try:
        yield RawClient(reader, writer)
    finally:
        writer.transport.abort()
