"""Who is let in: before the body of a request is read."""

import asyncio
from collections.abc import Collection

import structlog
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from orchestrator.api_keys import HEADER, ApiKeys
from orchestrator.gateway.connection import ConnectionFacts, connection_of
from orchestrator.gateway.http_errors import HttpError
from orchestrator.handover import draining_error
from orchestrator.refusals import Refusals
from orchestrator.tenant import ANYBODY, Role, Tenant
from paceline.errors import PacelineError
from paceline.security.loopback import is_loopback
from paceline.security.peer_names import is_allowed
from paceline.serving.errors import PeerNotAllowedError

MAX_HEADER_BYTES = 32 << 10
# Pages that tell a probe or a person what is going on, whatever is going on.
_ALWAYS_ANSWERED = frozenset({"/health", "/metrics", "/paceline/v1/status"})

_log = structlog.get_logger()


class KeyGuard:
    """Tells callers by their keys; without tenants everybody is anybody."""

    def __init__(self, keys: ApiKeys | None, refusals: Refusals) -> None:
        self._keys = keys
        self._refusals = refusals

    def tenant(self, scope: Scope, needed_role: Role) -> Tenant:
        """Return whose request it is; raises what `ApiKeys.tenant` raises."""
        if self._keys is None:
            return ANYBODY
        try:
            return self._keys.tenant(Headers(scope=scope).get(HEADER), needed_role)
        except PacelineError as error:
            tenant = str(error.facts.get("tenant", ""))
            self._refusals.note(tenant, error, method=scope["path"][:100], peer=_peer(scope))
            raise


class GuardedApp:
    """Lets requests through to an application that may come at all.

    Where everybody may call, because there are no keys, and the gateway listens for this machine alone, a page of
    another host that a browser shows must not reach it under a name of its own (DNS rebinding): the Host has to be
    this machine then.
    """

    def __init__(
        self,
        app: ASGIApp,
        draining: asyncio.Event,
        peer_names: Collection[str],
        *,
        is_for_this_machine: bool,
    ) -> None:
        self._app = app
        self._draining = draining
        self._peer_names = peer_names
        self._is_for_this_machine = is_for_this_machine

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or raise why not."""
        connection = connection_of(scope)
        if connection.is_surplus:
            raise HttpError(
                "TOO_MANY_CONNECTIONS", "there are too many connections; use fewer, or another orchestrator"
            )
        _check_headers(scope)
        self._check_host(scope)
        self._check_peer(scope, connection)
        if self._draining.is_set() and scope["path"] not in _ALWAYS_ANSWERED:
            raise draining_error()
        await self._app(scope, receive, send)

    def _check_host(self, scope: Scope) -> None:
        host = Headers(scope=scope).get("host", "")
        if self._is_for_this_machine and not _is_this_machine(host):
            raise HttpError(
                "HOST_NOT_ALLOWED", "this gateway is for this machine alone; call it as localhost"
            )

    def _check_peer(self, scope: Scope, connection: ConnectionFacts) -> None:
        names = connection.peer_names
        if not self._peer_names or is_allowed(names, self._peer_names):
            return
        _log.warning("peer_refused", peer=_peer(scope), names=names)
        listed = ", ".join(names) or "no name"
        raise PeerNotAllowedError(
            f"your certificate is for {listed}, and --tls-peer-names of this service does not name it",
            names=",".join(names),
        )


def _check_headers(scope: Scope) -> None:
    num_bytes = sum(len(name) + len(value) for name, value in scope["headers"]) + len(scope["query_string"])
    if num_bytes + len(scope["raw_path"]) > MAX_HEADER_BYTES:
        raise HttpError(
            "HEADERS_TOO_LARGE", f"the head of the request has more than {MAX_HEADER_BYTES} bytes"
        )


def _is_this_machine(host: str) -> bool:
    has_port = host.rpartition(":")[2].isdecimal() and not host.endswith("]")
    return is_loopback(host if has_port else f"{host}:80")


def _peer(scope: Scope) -> str:
    client = scope.get("client")
    return f"{client[0]}:{client[1]}" if client else ""
