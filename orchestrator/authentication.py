"""Who calls, before anything of the call is read: by the API key in its metadata."""

import time
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import grpc.aio
from grpc_health.v1 import health

from orchestrator.errors import (
    ApiKeyExpiredError,
    ApiKeyInvalidError,
    ApiKeyMissingError,
    RoleNotAllowedError,
)
from orchestrator.refusals import Refusals
from orchestrator.tenant import Role, Tenant, set_caller
from orchestrator.tenants_file import TenantsFile
from paceline.api_key import api_key_digest
from paceline.errors import PacelineError
from paceline.serving.status import abort
from paceline.v1 import orchestrator_service_pb2

METADATA_KEY = "authorization"
_SCHEME = "bearer"
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

    def __init__(
        self, tenants: TenantsFile, refusals: Refusals, clock: Callable[[], float] = time.time
    ) -> None:
        self._tenants = tenants
        self._refusals = refusals
        self._clock = clock

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
            set_caller(self._admitted(service, handler_call_details))
        except PacelineError as error:
            return self._refusing(error, method)
        return await continuation(handler_call_details)

    def _admitted(self, service: str, details: grpc.HandlerCallDetails) -> Tenant:
        key = _key_in(details)
        if key is None:
            raise ApiKeyMissingError
        known = self._tenants.directory.find(api_key_digest(key))
        if known is None:
            raise ApiKeyInvalidError
        if known.is_expired(self._clock()):
            raise ApiKeyExpiredError(known.tenant.name)
        tenant = known.tenant
        if service != _FOR_USERS and tenant.role is not Role.OPERATOR:
            raise RoleNotAllowedError(tenant.name, tenant.role, Role.OPERATOR)
        return tenant

    def _refusing(self, error: PacelineError, method: str) -> Any:
        async def refuse(requests: Any, context: grpc.aio.ServicerContext) -> None:
            tenant = str(error.facts.get("tenant", ""))
            self._refusals.note(tenant, error, method=method[:_MAX_METHOD], peer=context.peer())
            await abort(context, error)

        # A handler of streams answers every kind of call, before any of its messages is read.
        return grpc.stream_stream_rpc_method_handler(refuse)  # pyright: ignore[reportArgumentType]


def _key_in(details: grpc.HandlerCallDetails) -> str | None:
    for name, value in details.invocation_metadata or ():
        if name == METADATA_KEY and isinstance(value, str):
            scheme, _, key = value.partition(" ")
            return key.strip() or None if scheme.lower() == _SCHEME else None
    return None
