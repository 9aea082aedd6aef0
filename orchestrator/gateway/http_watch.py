"""What is told of each HTTP request: a metric, a span, a line in the log, and its id in all of them."""

import re
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from paceline.telemetry.catalogue import (
    HTTP_ACTIVE_REQUESTS,
    HTTP_CONNECTIONS,
    HTTP_DROPPED_CONNECTIONS,
    HTTP_DURATION,
)
from paceline.telemetry.metrics import Metrics
from paceline.telemetry.trace_context import TraceContext, read_traceparent, write_traceparent
from paceline.telemetry.tracer import FinishedSpan, SpanKind, Tracer

REQUEST_ID_HEADER = "x-request-id"
_TRACEPARENT = "traceparent"
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:+/=@-]{1,128}")
_METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})
# As nginx writes it of a client that has closed its connection.
_CLIENT_GONE = 499
_CALL = "paceline.call"

_log = structlog.get_logger()


@dataclass
class HttpCall:
    """One request.

    Attributes:
        request_id: Its id, the caller's own if there is one.
        context: Its span.
        route: The path that it was for, with the names of its parts; empty where there is no such path.
        status: Of the answer; 499 until one has begun.
    """

    request_id: str
    context: TraceContext
    route: str = ""
    status: int = _CLIENT_GONE

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """What the core reads of the trace."""
        return ((_TRACEPARENT, write_traceparent(self.context)),)


def call_of(scope: Scope) -> HttpCall:
    """Return the call that a scope belongs to."""
    return scope[_CALL]


class HttpWatch:
    """What all requests share. Requests that take longer than `slow_seconds`, or fail, are traced in any case."""

    def __init__(self, metrics: Metrics, tracer: Tracer, slow_seconds: float) -> None:
        self._metrics = metrics
        self._durations = metrics.histogram(HTTP_DURATION)
        self._dropped = metrics.counter(HTTP_DROPPED_CONNECTIONS)
        self._tracer = tracer
        self._slow_seconds = slow_seconds
        self._num_active = 0
        metrics.observe(HTTP_ACTIVE_REQUESTS, lambda: self._num_active)

    @property
    def num_active(self) -> int:
        """Requests that are being answered."""
        return self._num_active

    def observe_connections(self, num_connections: Callable[[], int]) -> None:
        """Have the number of open connections told."""
        self._metrics.observe(HTTP_CONNECTIONS, num_connections)

    def note_dropped(self, reason: str) -> None:
        """Take in that a connection was cut."""
        self._dropped.labelled(reason).add()

    def begin(self, headers: Mapping[str, str]) -> tuple[HttpCall, TraceContext | None]:
        """Return a new request and its caller's span."""
        self._num_active += 1
        parent = read_traceparent(headers.get(_TRACEPARENT, ""))
        return HttpCall(_request_id(headers), self._tracer.begin(parent)), parent

    def end(self, call: HttpCall, parent: TraceContext | None, method: str, started_at: float) -> None:
        """Take in the end of a request."""
        self._num_active -= 1
        ended_at = time.monotonic()
        seconds, status = ended_at - started_at, str(call.status)
        method = method if method in _METHODS else "_OTHER"
        self._durations.labelled(method, call.route, status).record(seconds)
        _log.debug(
            "http_request", method=method, route=call.route, status=call.status, seconds=round(seconds, 3)
        )
        has_failed = call.status >= 500
        if self._tracer.is_on and (call.context.is_sampled or has_failed or seconds > self._slow_seconds):
            self._tracer.record(
                FinishedSpan(
                    f"{method} {call.route}".rstrip(),
                    call.context,
                    parent,
                    int(started_at * 1e9),
                    int(ended_at * 1e9),
                    {
                        "http.request.method": method,
                        "http.route": call.route,
                        "http.response.status_code": call.status,
                        "paceline.request_id": call.request_id,
                    },
                    SpanKind.SERVER,
                    error=status if has_failed else "",
                )
            )


class WatchedApp:
    """Tells of the requests of an application, and gives each answer the id of its request."""

    def __init__(self, app: ASGIApp, watch: HttpWatch) -> None:
        self._app = app
        self._watch = watch

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        started_at = time.monotonic()
        call, parent = self._watch.begin(Headers(scope=scope))
        scope[_CALL] = call
        # Not taken back: each request has a task, and so a context, of its own.
        structlog.contextvars.bind_contextvars(request_id=call.request_id)

        async def told(message: Message) -> None:
            if message["type"] == "http.response.start":
                call.status = message["status"]
                headers = MutableHeaders(scope=message)
                headers[REQUEST_ID_HEADER] = call.request_id
                headers["x-content-type-options"] = "nosniff"
            await send(message)

        try:
            await self._app(scope, receive, told)
        finally:
            self._watch.end(call, parent, scope["method"], started_at)


def _request_id(headers: Mapping[str, str]) -> str:
    """Return the caller's own id where it is a plain word, else a new one."""
    given = headers.get(REQUEST_ID_HEADER, "")
    return given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
