"""Rounds on their way to the client: as many as a slow client may be behind, and none before Redis has it."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Generic, TypeVar

from orchestrator.commit_line import Acknowledgement

Item = TypeVar("Item")


class Outbox(Generic[Item]):
    """Items in order, each let out only after its commit is acknowledged; `put` waits while there are too many."""

    def __init__(self, max_items: int) -> None:
        self._items: deque[tuple[Item, Acknowledgement]] = deque()
        self._room = asyncio.Semaphore(max_items)
        self._changed = asyncio.Event()
        self._is_closed = False
        self._error: BaseException | None = None

    async def put(self, item: Item, acknowledged: Acknowledgement) -> None:
        """Add an item."""
        await self._room.acquire()
        self._items.append((item, acknowledged))
        acknowledged.add_done_callback(self._note_acknowledged)

    def close(self, error: BaseException | None) -> None:
        """Let the items out that are there, then end, with an error if there is one."""
        self._is_closed = True
        self._error = error
        self._changed.set()

    async def __aiter__(self) -> AsyncIterator[Item]:
        while self._items or not self._is_closed:
            if not self._items or not self._items[0][1].done():
                self._changed.clear()
                await self._changed.wait()
                continue
            item, acknowledged = self._items.popleft()
            self._room.release()
            acknowledged.result()  # the error of a commit that failed
            yield item
        if self._error is not None:
            raise self._error

    def _note_acknowledged(self, _: Acknowledgement) -> None:
        self._changed.set()
