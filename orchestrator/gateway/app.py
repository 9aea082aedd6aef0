"""The gateway as one ASGI application: what stands before the pages, and which page a path is."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import RedirectResponse
from starlette.routing import BaseRoute, Mount, Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from orchestrator.api_keys import ApiKeys
from orchestrator.config import OrchestratorConfig
from orchestrator.gateway.generating import WARNINGS_HEADER, Core, Generating
from orchestrator.gateway.guard import GuardedApp, KeyGuard
from orchestrator.gateway.http_watch import REQUEST_ID_HEADER, HttpWatch, WatchedApp, call_of
from orchestrator.gateway.pages import Pages
from orchestrator.gateway.playground import Playground
from orchestrator.gateway.refusing import RefusingApp
from orchestrator.generation import Surroundings
from orchestrator.status_servicer import StatusServicer
from orchestrator.tenant import ANYBODY, Role, Tenant
from paceline.models.tokenizer import Tokenizer
from paceline.security.loopback import is_loopback
from paceline.telemetry.metrics import Metrics

Handler = Callable[[Request, Tenant], Awaitable[ASGIApp]]


@dataclass(frozen=True)
class _Page:
    """A page; `needed_role` is None where it is open to everybody."""

    path: str
    methods: tuple[str, ...]
    needed_role: Role | None
    handler: Handler


def gateway_app(
    surroundings: Surroundings,
    core: Core,
    tokenizer: Tokenizer,
    metrics: Metrics,
    draining: asyncio.Event,
    watch: HttpWatch,
) -> ASGIApp:
    """Return the application of an orchestrator."""
    config, tenants = surroundings.config, surroundings.tenants
    generating = Generating(
        core,
        tokenizer,
        max_body_bytes=config.max_message_bytes,
        patience_seconds=config.http_client_seconds,
        keep_alive_seconds=config.http_keep_alive_seconds,
    )
    pages = Pages(core, surroundings, StatusServicer(surroundings, draining), metrics, draining)
    guard = KeyGuard(None if tenants is None else ApiKeys(tenants), surroundings.watch.refusals)
    routes: list[BaseRoute] = [
        Route(page.path, _endpoint(page, guard), methods=page.methods)
        for page in (
            _Page("/v1/chat/completions", ("POST",), Role.USER, generating.chat),
            _Page("/v1/completions", ("POST",), Role.USER, generating.completions),
            _Page("/v1/models", ("GET",), Role.USER, pages.models),
            _Page("/v1/models/{model:path}", ("GET",), Role.USER, pages.model),
            _Page("/health", ("GET",), None, pages.health),
            _Page("/metrics", ("GET",), Role.OPERATOR, pages.metrics),
            _Page("/paceline/v1/status", ("GET",), Role.OPERATOR, pages.status),
            _Page("/openapi.json", ("GET",), None, pages.openapi),
        )
    ]
    if config.http_playground == "on":
        routes += [
            *(
                Route(path, _endpoint(_Page(path, ("GET",), None, _to_playground), guard), methods=["GET"])
                for path in ("/", "/playground")
            ),
            Mount("/playground", _named("/playground", Playground())),
        ]
    return _before(
        Router(routes, redirect_slashes=False), config, draining, watch, has_keys=tenants is not None
    )


def _before(
    router: ASGIApp, config: OrchestratorConfig, draining: asyncio.Event, watch: HttpWatch, *, has_keys: bool
) -> ASGIApp:
    """Return the router behind everything that a request passes first."""
    assert config.http_listen is not None
    is_for_this_machine = not has_keys and is_loopback(config.http_listen)
    app: ASGIApp = GuardedApp(
        router, draining, config.tls_peer_names, is_for_this_machine=is_for_this_machine
    )
    app = RefusingApp(app)
    if config.http_cors_origins:
        app = CORSMiddleware(
            app,
            allow_origins=config.http_cors_origins,
            allow_methods=("GET", "POST"),
            allow_headers=("*",),
            expose_headers=(REQUEST_ID_HEADER, WARNINGS_HEADER, "retry-after"),
        )
    return WatchedApp(app, watch)


def _endpoint(page: _Page, guard: KeyGuard) -> ASGIApp:
    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        call_of(scope).route = page.path.replace(":path", "")
        tenant = ANYBODY if page.needed_role is None else guard.tenant(scope, page.needed_role)
        response = await page.handler(Request(scope, receive, send), tenant)
        await response(scope, receive, send)

    return _Endpoint(answer)


def _named(route: str, app: ASGIApp) -> ASGIApp:
    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        call_of(scope).route = route
        await app(scope, receive, send)

    return _Endpoint(answer)


class _Endpoint:
    """An ASGI application; a function would be taken for one that gets a Request."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)


async def _to_playground(request: Request, tenant: Tenant) -> ASGIApp:
    return RedirectResponse("/playground/")
