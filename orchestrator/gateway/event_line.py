"""The events of the generations of one request, in the order in which they come."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import NamedTuple

from paceline.v1 import orchestrator_service_pb2 as messages


class PromptEvent(NamedTuple):
    """An event, and the number of the prompt that it belongs to."""

    prompt: int
    response: messages.GenerateResponse


class EventLine:
    """Runs generations side by side while `running`. At most one event of each waits for whoever calls `next`."""

    def __init__(self, generations: Sequence[AsyncGenerator[messages.GenerateResponse]]) -> None:
        self._generations = generations
        self._num_running = len(generations)
        # None is the end of a generation.
        self._events: asyncio.Queue[PromptEvent | Exception | None] = asyncio.Queue(len(generations))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Generate for as long as the block runs; what has not ended by then gives up its sessions."""
        tasks = [asyncio.create_task(self._run(*numbered)) for numbered in enumerate(self._generations)]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    async def next(self, patience_seconds: float | None = None) -> PromptEvent | None:
        """Return the next event, None once all have ended; raises the first error, or TimeoutError after a silence."""
        while self._num_running:
            async with asyncio.timeout(patience_seconds):
                event = await self._events.get()
            if isinstance(event, Exception):
                raise event
            if event is not None:
                return event
            self._num_running -= 1
        return None

    async def _run(self, prompt: int, generation: AsyncGenerator[messages.GenerateResponse]) -> None:
        try:
            async with aclosing(generation) as responses:
                async for response in responses:
                    await self._events.put(PromptEvent(prompt, response))
        except Exception as error:
            await self._events.put(error)
        else:
            await self._events.put(None)
