"""Around every call of our services: exceptions become statuses, and running calls are counted."""

import asyncio
import inspect
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager
from typing import Any, NoReturn

import grpc
import grpc.aio

from paceline.serving.decoding import Unreadable, careful_deserializer
from paceline.serving.method_handler import behaviour_of, with_behaviour
from paceline.serving.status import abort
from paceline.telemetry.metrics import Family, Histogram

OUR_PREFIX = "/paceline."

Context = grpc.aio.ServicerContext

_STATUS_NAMES = {code.value[0]: code.name for code in grpc.StatusCode}


class RunningCalls:
    """How many calls run, and when none does."""

    def __init__(self) -> None:
        self._num_running = 0
        self._is_idle = asyncio.Event()
        self._is_idle.set()

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Count one call for as long as the block runs."""
        self._num_running += 1
        self._is_idle.clear()
        try:
            yield
        finally:
            self._num_running -= 1
            if self._num_running == 0:
                self._is_idle.set()

    async def ended(self) -> None:
        """Wait until no call runs."""
        await self._is_idle.wait()


class CallInterceptor(grpc.aio.ServerInterceptor):
    """Wraps the calls of Paceline's own services; gRPC's health and reflection services stay as they are.

    A PacelineError ends its call with the status of its reason, any other exception with INTERNAL and a log
    line.
    """

    def __init__(self, calls: RunningCalls, durations: Family[Histogram], max_message_bytes: int) -> None:
        self._calls = calls
        self._durations = durations
        self._max_message_bytes = max_message_bytes

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Return the handler of a call, wrapped if it is ours."""
        handler: Any = await continuation(handler_call_details)
        if handler is None or not handler_call_details.method.startswith(OUR_PREFIX):
            return handler
        return self._wrapped(handler, handler_call_details.method.removeprefix("/"))

    def _wrapped(self, handler: Any, method: str) -> Any:
        make = self._stream_behaviour if handler.response_streaming else self._behaviour
        behaviour = make(behaviour_of(handler), method)
        return with_behaviour(
            handler, behaviour, careful_deserializer(handler.request_deserializer, self._max_message_bytes)
        )

    def _behaviour(
        self, inner: Callable[[Any, Context], Awaitable[Any]], method: str
    ) -> Callable[..., Awaitable[Any]]:
        async def behave(request: Any, context: Context) -> Any:
            with self._calls.counted(), self._timed(method, context):
                try:
                    return await inner(_readable(request), context)
                except Exception as error:
                    await _answer(context, error)

        return behave

    def _stream_behaviour(
        self, inner: Callable[[Any, Context], AsyncGenerator[Any, None]], method: str
    ) -> Callable[..., AsyncIterator[Any]]:
        assert inspect.isasyncgenfunction(inner), "responses are streamed by async generators"

        async def behave(request: Any, context: Context) -> AsyncIterator[Any]:
            with self._calls.counted(), self._timed(method, context):
                try:
                    async with aclosing(inner(_readable(request), context)) as responses:
                        async for response in responses:
                            yield response
                except Exception as error:
                    await _answer(context, error)

        return behave

    @contextmanager
    def _timed(self, method: str, context: Context) -> Iterator[None]:
        started_at, status = time.monotonic(), "CANCELLED"
        try:
            yield
            status = "OK"
        except grpc.aio.AbortError:
            status = _status_name(context.code())
            raise
        finally:
            self._durations.labelled(method, status).record(time.monotonic() - started_at)


def _status_name(code: grpc.StatusCode | int) -> str:
    return code.name if isinstance(code, grpc.StatusCode) else _STATUS_NAMES.get(code, "UNKNOWN")


async def _answer(context: Context, error: Exception) -> NoReturn:
    if isinstance(error, grpc.aio.AbortError):
        raise error
    await abort(context, error)


def _readable(request: Any) -> Any:
    if isinstance(request, Unreadable):
        raise request.error
    return _readable_stream(request) if isinstance(request, AsyncIterator) else request


async def _readable_stream(requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
    async for request in requests:
        yield _readable(request)
