"""An event loop in a thread of its own, for callers that have none."""

import asyncio
import atexit
import concurrent.futures
import contextlib
import threading
import weakref
from collections.abc import AsyncGenerator, Coroutine, Generator
from contextlib import aclosing
from typing import Any, Generic, TypeVar

from paceline.client.errors import ClientClosedError

T = TypeVar("T")

# How far a generation runs ahead of who reads it.
_MAX_WAITING = 16


class BackgroundLoop:
    """Runs coroutines for threads that wait for them; any thread may call it, several at once.

    Waiting is interruptible: a KeyboardInterrupt cancels what was waited for. A process that ends without `close` ends
    what still runs. After a fork the child has no such thread: make a client after forking.
    """

    def __init__(self, name: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._loop.set_exception_handler(_handle)
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._lock = threading.RLock()  # the garbage collector may close an iterator at any place, here too
        self._is_closed = False
        self._thread.start()
        _living.add(self)

    @property
    def is_closed(self) -> bool:
        """Whether nothing runs here any more."""
        return self._is_closed

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Return what a coroutine comes to, or raise what it raises; raises ClientClosedError."""
        with self._lock:
            if self._is_closed:
                coroutine.close()
                raise ClientClosedError
            # The task has the caller's context, so that its calls are part of the caller's trace.
            future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        try:
            return future.result()
        except concurrent.futures.CancelledError:  # nobody else cancels what runs here
            raise ClientClosedError from None
        finally:
            future.cancel()

    def iterate(self, events: AsyncGenerator[T]) -> Generator[T]:
        """Yield what an asynchronous generator yields; closing this one closes it. Raises as `run`."""
        pump = self.run(_Pump.start(events))
        try:
            while (item := self.run(pump.queue.get())) is not _END:
                yield item
            if pump.failure is not None:
                raise pump.failure
        finally:
            self._end_pump(pump)

    def close(self, last: Coroutine[Any, Any, None] | None = None) -> None:
        """Run one last coroutine, cancel what still runs, and end the thread; may be called twice."""
        with self._lock:
            if self._is_closed:
                if last is not None:
                    last.close()
                return
            self._is_closed = True
        _living.discard(self)
        asyncio.run_coroutine_threadsafe(self._end(last), self._loop)
        self._thread.join()

    def _end_pump(self, pump: "_Pump[Any]") -> None:
        # The garbage collector closes an abandoned iterator in any thread; the loop's own cannot wait for itself.
        if threading.current_thread() is self._thread:
            pump.cancel()
            return
        with contextlib.suppress(ClientClosedError):
            self.run(pump.stop())

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
        finally:
            self._loop.close()

    async def _end(self, last: Coroutine[Any, Any, None] | None) -> None:
        try:
            if last is not None:
                await last
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)
            await self._loop.shutdown_asyncgens()
        finally:
            self._loop.stop()


class _Pump(Generic[T]):
    """Reads an asynchronous generator in one task from beginning to end, as its timeouts and task groups need it."""

    def __init__(self, events: AsyncGenerator[T]) -> None:
        self.queue: asyncio.Queue[Any] = asyncio.Queue(_MAX_WAITING)
        self.failure: Exception | None = None
        self._task = asyncio.create_task(self._read(events))
        # A loop does not hold its tasks: one that waits for a full queue would be collected with its iterator.
        _reading.add(self._task)
        self._task.add_done_callback(_reading.discard)

    @classmethod
    async def start(cls, events: AsyncGenerator[T]) -> "_Pump[T]":
        """Begin to read."""
        return cls(events)

    def cancel(self) -> None:
        """Have the generator end soon; only in the loop's thread."""
        self._task.cancel()

    async def stop(self) -> None:
        """End the generator, wherever it is."""
        self.cancel()
        await asyncio.wait([self._task])

    async def _read(self, events: AsyncGenerator[T]) -> None:
        try:
            async with aclosing(events):
                async for event in events:
                    await self.queue.put(event)
        except Exception as failure:
            self.failure = failure
        await self.queue.put(_END)


def _handle(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    # Where several loops use gRPC, it wakes all of them for an event, and all but one find nothing; grpc issue 25364.
    if not isinstance(context.get("exception"), BlockingIOError):
        loop.default_exception_handler(context)


_END = object()
_reading: set[asyncio.Task[None]] = set()
_living: "weakref.WeakSet[BackgroundLoop]" = weakref.WeakSet()


def _close_all() -> None:
    for loop in list(_living):
        loop.close()


# Before the interpreter stops its threads: who waits for one of them then would wait for ever.
atexit.register(_close_all)
