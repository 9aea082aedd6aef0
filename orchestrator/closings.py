"""Work that must be done even where the task that needs it is being cancelled."""

import asyncio
from collections.abc import Coroutine
from typing import Any


class Closings:
    """Runs closings in tasks of their own, which nothing but their end ends."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, closing: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Begin a closing."""
        task = asyncio.create_task(closing)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def run(self, closing: Coroutine[Any, Any, None]) -> None:
        """Do a closing; if the caller is cancelled it goes on by itself."""
        await asyncio.shield(self.start(closing))

    async def ended(self) -> None:
        """Wait until all that was begun has ended."""
        while self._tasks:
            await asyncio.wait(self._tasks)
