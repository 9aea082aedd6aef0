"""A stream of frames: requests in, answers out as they become ready, those that are ready together in one frame."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

from paceline.engine.progress import EngineProgress
from paceline.errors import InvalidRequestError
from paceline.serving.errors import DrainingError

Q = TypeVar("Q")
A = TypeVar("A")
R = TypeVar("R")


@dataclass(frozen=True)
class Frame(Generic[A]):
    """Answers that are ready, and with the first ones and now and then a sign of life."""

    answers: list[A]
    progress: EngineProgress | None


@dataclass(frozen=True)
class SignsOfLife:
    """What a caller that waits for an answer gets to know, and how often."""

    interval_seconds: float
    progress: Callable[[], EngineProgress]


class FrameExchange(Generic[Q, A]):
    """Answers the requests of one stream, each in a task of its own.

    `begin` turns a frame into one awaitable for each of its requests; an awaitable never raises, its errors are
    answers. `written` is told of answers that are on their way. Once `draining` is set, frames are still begun while
    earlier requests are being answered, which `begin` is to refuse; then the stream ends with DrainingError. When the
    stream breaks, the tasks are cancelled.
    """

    def __init__(
        self,
        begin: Callable[[Q], Iterable[Awaitable[A]]],
        draining: asyncio.Event,
        written: Callable[[list[A]], None],
        signs_of_life: SignsOfLife,
    ) -> None:
        self._begin = begin
        self._draining = draining
        self._written = written
        self._signs_of_life = signs_of_life
        self._running: set[asyncio.Future[A]] = set()
        self._ready: list[A] = []
        self._is_sign_due = False
        self._was_sign_given = False
        self._changed = asyncio.Event()

    async def answers(self, frames: AsyncIterator[Q]) -> AsyncGenerator[Frame[A], None]:
        """Yield frames of answers until the requests end and all of them are answered."""
        reader = asyncio.create_task(self._read(frames))
        draining = asyncio.create_task(self._draining.wait())
        for task in (reader, draining):
            task.add_done_callback(self._note_end)
        try:
            with self._ticking():
                while self._running or self._ready or not (reader.done() or self._draining.is_set()):
                    await self._changed.wait()
                    self._changed.clear()
                    if self._ready or self._is_sign_due:
                        frame = self._take_frame()
                        yield frame
                        self._written(frame.answers)
            if self._draining.is_set():
                raise DrainingError("the replica is shutting down; use another one")
            await reader
        finally:
            for task in (reader, draining, *self._running):
                task.cancel()

    def _note_end(self, task: asyncio.Task[object]) -> None:
        if not task.cancelled():
            task.exception()  # not unheard, even where the drain ends the stream first
        self._changed.set()

    def _take_frame(self) -> Frame[A]:
        ready, self._ready = self._ready, []
        # The first answers tell the caller what to expect, so that it need not ask when they are the last ones.
        is_wanted = self._is_sign_due or not self._was_sign_given
        progress = self._signs_of_life.progress() if is_wanted else None
        self._is_sign_due, self._was_sign_given = False, True
        return Frame(ready, progress)

    @contextmanager
    def _ticking(self) -> Iterator[None]:
        """Make a sign of life due at every interval that ends with a request unanswered."""
        loop, interval_seconds = asyncio.get_running_loop(), self._signs_of_life.interval_seconds

        def tick() -> None:
            nonlocal timer
            timer = loop.call_later(interval_seconds, tick)
            if self._running:
                self._is_sign_due = True
                self._changed.set()

        timer = loop.call_later(interval_seconds, tick)
        try:
            yield
        finally:
            timer.cancel()

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
