"""The lifetime of the gateway's server: it listens, serves, drains with the orchestrator, and is gone."""

import asyncio
import logging
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

import structlog
import uvicorn
from starlette.types import ASGIApp

from orchestrator.config import OrchestratorConfig
from orchestrator.gateway.guard import MAX_HEADER_BYTES
from orchestrator.gateway.http_watch import HttpWatch
from orchestrator.gateway.protocol import (
    SEND_BUFFER_BYTES,
    ConnectionLimits,
    GatewayConfig,
    GatewayProtocol,
)
from orchestrator.gateway.tls import renewed_context
from paceline.errors import ConfigError
from paceline.security.loopback import is_loopback

# Longer than load balancers keep a connection that nobody uses, so that it is theirs to close it.
_KEEP_ALIVE_SECONDS = 75
_BACKLOG = 1024
_POLL_SECONDS = 0.01

_log = structlog.get_logger()


class GatewayServer:
    """An HTTP server in the running event loop, for as long as the `async with` block runs.

    Leaving the block waits for the requests that run, no longer than the orchestrator's grace period allows, then cuts
    them off. That they end, or are told to go elsewhere, is the application's part. Raises ConfigError where the
    address cannot be listened on or the certificates cannot be used.

    Attributes:
        port: What it listens on; there once the block is entered.
    """

    def __init__(
        self, config: OrchestratorConfig, app: ASGIApp, watch: HttpWatch, draining: asyncio.Event
    ) -> None:
        assert config.http_listen is not None
        self._address = config.http_listen
        self._config = config
        self._draining = draining
        limits = ConnectionLimits(config.http_max_connections, config.http_client_seconds, watch.note_dropped)
        self._server = _Server(_uvicorn_config(config, app, limits))
        watch.observe_connections(lambda: self.num_connections)

    async def __aenter__(self) -> Self:
        listener = _bound(self._address)
        self.port = int(listener.getsockname()[1])
        self._drained_at = asyncio.create_task(self._note_drain())
        self._serving = asyncio.create_task(self._server.serve([listener]))
        while not self._server.started:
            if self._serving.done():
                self._serving.result()
            await asyncio.sleep(_POLL_SECONDS)
        is_encrypted = self._config.certificate_files is not None
        _log.info("http_listening", address=self._address, port=self.port, is_encrypted=is_encrypted)
        if not is_encrypted and not is_loopback(self._address):
            _log.warning(
                "plain_text", address=self._address, advice="give --tls-certificate-file; see docs/tls.md"
            )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.end_within(self._seconds_left())
        self._drained_at.cancel()
        await self._serving

    @property
    def num_connections(self) -> int:
        """Connections that are open."""
        return len(self._server.server_state.connections)

    async def _note_drain(self) -> float:
        await self._draining.wait()
        return time.monotonic()

    def _seconds_left(self) -> float:
        """Return what is left of the time that running requests have to end."""
        noted = self._drained_at
        began_at = noted.result() if noted.done() and not noted.cancelled() else time.monotonic()
        given = self._config.grace_seconds - self._config.closing_seconds
        return max(0.0, given - (time.monotonic() - began_at))


class _Server(uvicorn.Server):
    """uvicorn's server, which leaves signals to the program and cuts off what has not ended in time."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield

    def end_within(self, seconds: float) -> None:
        """Begin the end."""
        self.config.timeout_graceful_shutdown = seconds  # pyright: ignore[reportAttributeAccessIssue], any number
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End; requests that are cut off have ended when it returns."""
        await super().shutdown(sockets)
        tasks = list(self.server_state.tasks)
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        if tasks:
            await asyncio.wait(tasks)


def _uvicorn_config(config: OrchestratorConfig, app: ASGIApp, limits: ConnectionLimits) -> GatewayConfig:
    # What it has to say of requests is told by the application; its own lines would not have our form.
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    files, asks = config.certificate_files, config.tls_clients == "require"
    settings = GatewayConfig(
        app,
        http=GatewayProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        backlog=_BACKLOG,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        h11_max_incomplete_event_size=MAX_HEADER_BYTES,
        ssl_context_factory=(
            None if files is None else lambda *_: renewed_context(files, asks_for_certificates=asks)
        ),
    )
    settings.limits = limits
    settings.load()
    return settings


def _bound(address: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    try:
        family, *_, resolved = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            # Connections have what the listener has: a client that does not read keeps no more than this.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
            listener.bind(resolved)
        except BaseException:
            listener.close()
            raise
    except OSError as error:
        raise ConfigError(
            f"--http-listen {address}: the address cannot be listened on: {error.strerror}",
            setting="http_listen",
        ) from error
    listener.setblocking(False)
    return listener
