"""The client on its own host, seen from the test."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from paceline.client.generation import (
    GenerationEvent,
    GenerationRequest,
    GenerationStarted,
    GenerationSummary,
    TokenChunk,
)
from tests.hosts.exchange import Asked, Told, read_told, write_asked
from tests.paceline.serving.processes import ROOT

MAX_LINE_BYTES = 1 << 20


class HostStream:
    """What the client's caller has got of one generation.

    Attributes:
        session_id: Its session, empty before it has started.
        ids: Its tokens.
        text: Its text.
        longest_wait: Seconds of the longest wait for tokens.
    """

    def __init__(self) -> None:
        self.session_id = ""
        self.ids: list[int] = []
        self.text = ""
        self.longest_wait = 0.0
        self._summary: GenerationSummary | None = None
        self._failure = ""
        self._last_event_at = time.monotonic()
        self._has_news = asyncio.Event()

    @property
    def summary(self) -> GenerationSummary:
        """The summary; call it after `end`."""
        assert self._summary is not None, "it has not finished"
        return self._summary

    def take(self, told: Told) -> None:
        """Note what the client tells of it."""
        self._failure = told.failure
        if told.event is not None:
            self._take_event(told.event)
        self._has_news.set()

    async def until(self, num_tokens: int) -> None:
        """Wait for so many tokens; fails where the stream ends before."""
        while len(self.ids) < num_tokens:
            assert self._summary is None, f"it ended after {len(self.ids)} tokens"
            await self._news()

    async def go_on(self) -> None:
        """Wait for a token more, or for the end."""
        num_tokens = len(self.ids)
        while len(self.ids) == num_tokens and self._summary is None:
            await self._news()

    async def end(self) -> None:
        """Wait for the end."""
        while self._summary is None:
            await self._news()

    async def _news(self) -> None:
        await self._has_news.wait()
        self._has_news.clear()
        assert not self._failure, self._failure

    def _take_event(self, event: GenerationEvent) -> None:
        match event:
            case GenerationStarted():
                self.session_id = event.session_id
            case TokenChunk():
                now = time.monotonic()
                self.longest_wait = max(self.longest_wait, now - self._last_event_at)
                self._last_event_at = now
                self.ids += [token.id for token in event.tokens]
                self.text += event.text
            case GenerationSummary():
                self._summary = event


class HostClient:
    """Has answers generated, and hands out what comes of them."""

    def __init__(self, process: asyncio.subprocess.Process, addresses: Sequence[str]) -> None:
        self._process = process
        self._addresses = tuple(addresses)
        self._streams: dict[str, HostStream] = {}

    async def ask(self, requests: Sequence[GenerationRequest]) -> list[HostStream]:
        """Begin to generate, all requests beside each other over one connection to each orchestrator."""
        first = len(self._streams)
        streams = {f"stream {number}": HostStream() for number in range(first, first + len(requests))}
        self._streams |= streams
        asked = Asked(self._addresses, dict(zip(streams, requests, strict=True)))
        assert self._process.stdin is not None
        self._process.stdin.write(write_asked(asked))
        await self._process.stdin.drain()
        return list(streams.values())

    async def listen(self) -> None:
        """Hand out what the client tells, until it ends."""
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            told = read_told(line)
            self._streams[told.name].take(told)
        for name, stream in self._streams.items():
            stream.take(Told(name, failure="the client's process has ended; its log says why"))


@asynccontextmanager
async def host_client(
    entering: Sequence[str], addresses: Sequence[str], log_path: Path
) -> AsyncIterator[HostClient]:
    """Run the client inside the block."""
    with log_path.open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            *(*entering, sys.executable, "-m", "tests.hosts.client_process"),
            cwd=ROOT,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
            limit=MAX_LINE_BYTES,
        )
    assert process.stdin is not None
    client = HostClient(process, addresses)
    listening = asyncio.create_task(client.listen())
    try:
        yield client
    finally:
        listening.cancel()
        process.terminate()
        await process.wait()
