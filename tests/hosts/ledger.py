"""Who wrote what to Redis: every call of the session store's script and what it changed, as MONITOR tells it."""

import asyncio
import codecs
import re
import struct
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MAX_LINE_BYTES = 1 << 20
POLL_SECONDS = 0.02
# For example: +1795875565.995803 [0 192.0.2.14:38724] "EVALSHA" "sha" "2" ...; what a script does is by `lua`.
_LINE = re.compile(rb"\+[0-9.]+ \[\d+ ([^]]+)\] (.*)")
_PART = re.compile(rb'"((?:[^"\\]|\\.)*)"')
_KEY = re.compile(rb".*\{(.*)\}:(state|ids)")
_SCRIPT = "lua"


@dataclass
class StoreCall:
    """A command of session_store.lua for one session.

    Attributes:
        host: Who called; whoever is no host of the network as MONITOR names it.
        session_id: The session.
        command: The command.
        written_epoch: The epoch that it wrote, None where it changed nothing: refused, repeated, or a look.
        written_ids: The ids that it wrote.
    """

    host: str
    session_id: str
    command: str
    written_epoch: int | None = None
    written_ids: tuple[int, ...] = ()


class Ledger:
    """All calls in the order in which Redis ran them; `hosts` are the callers' names by address."""

    def __init__(self, hosts: Mapping[str, str]) -> None:
        self.calls: list[StoreCall] = []
        self._hosts = hosts
        self._running: dict[str, StoreCall] = {}  # of the script that ran last, by session
        self._marker = b""

    def of(self, session_id: str) -> list[StoreCall]:
        """Return the calls for a session."""
        return [call for call in self.calls if call.session_id == session_id]

    async def catch_up(self, redis: Any) -> None:
        """Wait until everything that Redis has run before is noted."""
        marker = uuid.uuid4().hex.encode()
        await redis.echo(marker)
        while self._marker != marker:  # noqa: ASYNC110, a line of the other connection
            await asyncio.sleep(POLL_SECONDS)

    def take(self, line: bytes) -> None:
        """Note a line of MONITOR."""
        matched = _LINE.match(line)
        if matched is None:  # the acknowledgement at the beginning
            return
        caller = matched[1].decode()
        parts = [codecs.escape_decode(part)[0] for part in _PART.findall(matched[2])]
        if caller == _SCRIPT:
            self._note_effect(parts)
        elif parts[0] in {b"EVALSHA", b"EVAL"}:
            host = self._hosts.get(caller.rpartition(":")[0], caller)
            calls = [StoreCall(host, *named) for named in _commands(parts)]
            self._running = {call.session_id: call for call in calls}
            self.calls += calls
        elif parts[0] == b"ECHO":
            self._marker = parts[1]

    def _note_effect(self, parts: Sequence[bytes]) -> None:
        key = _KEY.match(parts[1]) if len(parts) > 1 else None
        if key is None:
            return
        call = self._running[key[1].decode()]
        if parts[0] in {b"SET", b"APPEND"}:
            call.written_ids = struct.unpack(f"<{len(parts[2]) // 4}I", parts[2])
        elif parts[0] == b"HSET" and b"epoch" in parts:
            call.written_epoch = int(parts[parts.index(b"epoch") + 1])


def _commands(parts: Sequence[bytes]) -> Iterator[tuple[str, str]]:
    """Yield session and command of each call in EVALSHA sha num_keys key ... argument ..."""
    num_keys = int(parts[2])
    keys, arguments = parts[3 : 3 + num_keys], parts[3 + num_keys :]
    is_batch, at = arguments[0] == b"batch", 0
    for state_key in keys[::2]:
        named = _KEY.match(state_key)
        assert named is not None, state_key
        at += (
            2 if is_batch else 0
        )  # `batch`, or the last argument of the call before; and the number of arguments
        yield named[1].decode(), arguments[at].decode()
        at += int(arguments[at - 1]) if is_batch else 0


@asynccontextmanager
async def ledger_of(redis_socket: Path, hosts: Mapping[str, str]) -> AsyncIterator[Ledger]:
    """Keep a ledger of a Redis inside the block."""
    reader, writer = await asyncio.open_unix_connection(redis_socket, limit=MAX_LINE_BYTES)
    writer.write(b"MONITOR\r\n")
    await reader.readline()
    ledger = Ledger(hosts)
    reading = asyncio.create_task(_read(reader, ledger))
    try:
        yield ledger
        assert not reading.done(), reading.exception()
    finally:
        reading.cancel()
        writer.close()


async def _read(reader: asyncio.StreamReader, ledger: Ledger) -> None:
    while line := await reader.readline():
        ledger.take(line)
