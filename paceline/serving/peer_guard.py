"""Refuses callers whose certificates bear none of the names that may call."""

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Mapping
from contextlib import aclosing
from typing import Any, cast

import grpc
import grpc.aio
import structlog
from grpc_health.v1 import health

from paceline.security.peer_names import is_allowed
from paceline.serving.errors import PeerNotAllowedError
from paceline.serving.method_handler import behaviour_of, with_behaviour
from paceline.serving.status import abort, abort_in_thread

# Whoever may connect may ask for the health.
_OPEN_PREFIX = f"/{health.SERVICE_NAME}/"
_NAME_PROPERTIES = ("peer_dns", "peer_uri")

Behaviour = Callable[..., Any]

_log = structlog.get_logger()


class PeerGuard(grpc.aio.ServerInterceptor):
    """Stands before all services but health: the caller's certificate must have a name that one of `patterns` means."""

    def __init__(self, patterns: Collection[str]) -> None:
        self._patterns = patterns

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Return the handler of a call, guarded."""
        handler: Any = await continuation(handler_call_details)
        if handler is None or handler_call_details.method.startswith(_OPEN_PREFIX):
            return handler
        return with_behaviour(handler, self._guarded(behaviour_of(handler)))

    def _guarded(self, inner: Behaviour) -> Behaviour:
        """Return a behaviour of the same kind, because gRPC runs each kind in its own way."""
        if inspect.isasyncgenfunction(inner):
            return self._guarded_stream(inner)
        if inspect.iscoroutinefunction(inner):
            return self._guarded_coroutine(inner)
        return self._guarded_function(inner)

    def _guarded_stream(self, inner: Behaviour) -> Behaviour:
        async def behave(request: Any, context: grpc.aio.ServicerContext) -> AsyncIterator[Any]:
            if (refusal := self._refusal(context)) is not None:
                await abort(context, refusal)
            async with aclosing(inner(request, context)) as responses:
                async for response in responses:
                    yield response

        return behave

    def _guarded_coroutine(self, inner: Behaviour) -> Behaviour:
        async def behave(request: Any, context: grpc.aio.ServicerContext) -> Any:
            if (refusal := self._refusal(context)) is not None:
                await abort(context, refusal)
            return await inner(request, context)

        return behave

    def _guarded_function(self, inner: Behaviour) -> Behaviour:
        def behave(request: Any, context: grpc.ServicerContext) -> Any:
            if (refusal := self._refusal(context)) is not None:
                abort_in_thread(context, refusal)
            return inner(request, context)

        return behave

    def _refusal(
        self, context: grpc.aio.ServicerContext | grpc.ServicerContext
    ) -> PeerNotAllowedError | None:
        properties = cast("Mapping[str, Iterable[bytes]]", context.auth_context())
        names = tuple(name.decode() for key in _NAME_PROPERTIES for name in properties.get(key, ()))
        if is_allowed(names, self._patterns):
            return None
        _log.warning("peer_refused", peer=context.peer(), names=names)
        listed = ", ".join(names) or "no name"
        return PeerNotAllowedError(
            f"your certificate is for {listed}, and --tls-peer-names of this service does not name it",
            names=",".join(names),
        )
