"""A stream of frames: requests in, answers out as they become ready, those that are ready together in one frame."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import suppress
from typing import Generic, TypeVar

from paceline.errors import InvalidRequestError
from paceline.serving.errors import DrainingError

Q = TypeVar("Q")
A = TypeVar("A")
R = TypeVar("R")


class FrameExchange(Generic[Q, A]):
    """Answers the requests of one stream, each in a task of its own.

    `begin` turns a frame into one awaitable for each of its requests; an awaitable never raises, its errors are
    answers. `written` is told of answers that are on their way. When `draining` is set no further frame is read,
    what runs is answered, and the stream ends with DrainingError.
    """

    def __init__(
        self,
        begin: Callable[[Q], Iterable[Awaitable[A]]],
        draining: asyncio.Event,
        written: Callable[[list[A]], None],
    ) -> None:
        self._begin = begin
        self._draining = draining
        self._written = written
        self._running: set[asyncio.Future[A]] = set()
        self._ready: list[A] = []
        self._changed = asyncio.Event()

    async def answers(self, frames: AsyncIterator[Q]) -> AsyncIterator[list[A]]:
        """Yield frames of answers until the requests end and all of them are answered."""
        reader = asyncio.create_task(self._read_until_draining(frames))
        reader.add_done_callback(lambda _: self._changed.set())
        try:
            while not (reader.done() and not self._running and not self._ready):
                await self._changed.wait()
                self._changed.clear()
                if self._ready:
                    ready, self._ready = self._ready, []
                    yield ready
                    self._written(ready)
            await reader
        finally:
            reader.cancel()

    async def _read_until_draining(self, frames: AsyncIterator[Q]) -> None:
        reading = asyncio.ensure_future(self._read(frames))
        draining = asyncio.ensure_future(self._draining.wait())
        try:
            await asyncio.wait((reading, draining), return_when=asyncio.FIRST_COMPLETED)
        finally:
            draining.cancel()
            reading.cancel()
        with suppress(asyncio.CancelledError):
            await reading
        if self._draining.is_set():
            raise DrainingError("the replica is shutting down; use another one")

    async def _read(self, frames: AsyncIterator[Q]) -> None:
        async for frame in frames:
            for awaitable in self._begin(frame):
                task = asyncio.ensure_future(awaitable)
                self._running.add(task)
                task.add_done_callback(self._collect)

    def _collect(self, task: asyncio.Future[A]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            self._ready.append(task.result())
            self._changed.set()


def in_frame(requests: Iterable[R], session_id_of: Callable[[R], str]) -> Iterator[tuple[R, bool]]:
    """Yield each request of a frame, and whether an earlier one there names the same session."""
    seen: set[str] = set()
    for request in requests:
        session_id = session_id_of(request)
        yield request, session_id in seen
        seen.add(session_id)


def repeated_in_frame(session_id: str) -> InvalidRequestError:
    """Return the error of a second request of a session in one frame."""
    return InvalidRequestError(
        f"the frame holds session {session_id} twice; send at most one request a session in a frame",
        field="point.session_id",
    )
