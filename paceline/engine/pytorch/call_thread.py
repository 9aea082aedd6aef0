"""A thread that makes calls for others, who may stop waiting for one that does not come back."""

from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar

T = TypeVar("T")


class CallThread:
    """Makes one call after the other. A call that never returns does not keep the process from ending."""

    def __init__(self, name: str) -> None:
        self._calls: SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None] = SimpleQueue()
        self._thread = Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(self, call: Callable[[], T]) -> Future[T]:
        """Queue a call, and return where its result will be."""
        result: Future[T] = Future()
        self._calls.put((call, result))
        return result

    def end(self, timeout_seconds: float) -> bool:
        """End the thread after the call that it makes; False where that has not returned in time."""
        self._calls.put(None)
        self._thread.join(timeout_seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while (job := self._calls.get()) is not None:
            call, result = job
            try:
                result.set_result(call())
            except BaseException as error:
                result.set_exception(error)
