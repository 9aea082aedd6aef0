"""Who calls, before anything of the call is read: by the API key in its metadata."""

from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import grpc.aio
from grpc_health.v1 import health

from orchestrator.api_keys import HEADER, ApiKeys
from orchestrator.refusals import Refusals
from orchestrator.tenant import Role, set_caller
from paceline.errors import PacelineError
from paceline.serving.status import abort
from paceline.v1 import orchestrator_service_pb2

_MAX_METHOD = 100  # characters in the log: anybody may send any name
# Kubernetes' probes have no key, and nothing but SERVING or not comes of it.
_FOR_EVERYONE = health.SERVICE_NAME
# All others are for operators: what they tell of or change is not the caller's alone.
_FOR_USERS = orchestrator_service_pb2.DESCRIPTOR.services_by_name["OrchestratorService"].full_name


class Authentication(grpc.aio.ServerInterceptor):
    """Lets calls through that have a key of a tenant whose role may make them; `caller` is the tenant then.

    It guards every method of every service, those of gRPC's own services and those that do not exist included, but for
    gRPC's health. A key is looked at when a call begins: a stream goes on when its key is withdrawn.
    """

    def __init__(self, keys: ApiKeys, refusals: Refusals) -> None:
        self._keys = keys
        self._refusals = refusals

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Return the handler of a call, or one that refuses it."""
        method = handler_call_details.method
        service = method.removeprefix("/").rpartition("/")[0]
        if service == _FOR_EVERYONE:
            return await continuation(handler_call_details)
        try:
            needed_role = Role.USER if service == _FOR_USERS else Role.OPERATOR
            set_caller(self._keys.tenant(_header_of(handler_call_details), needed_role))
        except PacelineError as error:
            return self._refusing(error, method)
        return await continuation(handler_call_details)

    def _refusing(self, error: PacelineError, method: str) -> Any:
        async def refuse(requests: Any, context: grpc.aio.ServicerContext) -> None:
            tenant = str(error.facts.get("tenant", ""))
            self._refusals.note(tenant, error, method=method[:_MAX_METHOD], peer=context.peer())
            await abort(context, error)

        # A handler of streams answers every kind of call, before any of its messages is read.
        return grpc.stream_stream_rpc_method_handler(refuse)  # pyright: ignore[reportArgumentType]


def _header_of(details: grpc.HandlerCallDetails) -> str | None:
    metadata = details.invocation_metadata or ()
    return next((value for name, value in metadata if name == HEADER and isinstance(value, str)), None)
