"""The lifetime of a gRPC server: listening, serving, draining, gone."""

import asyncio
import signal
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import NamedTuple, Self

import grpc.aio
import structlog
from grpc_channelz.v1 import channelz
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from paceline.errors import ConfigError
from paceline.security.certificate_watch import CertificateWatch
from paceline.security.certificates import Role
from paceline.security.loopback import is_loopback
from paceline.security.server_credentials import server_credentials
from paceline.serving.collector import spare_long_lived_objects
from paceline.serving.config import ServiceConfig
from paceline.serving.interceptor import CallInterceptor, RunningCalls
from paceline.serving.log_servicer import SERVICE_NAME as LOG_SERVICE_NAME
from paceline.serving.log_servicer import LogServicer
from paceline.serving.peer_guard import PeerGuard
from paceline.telemetry.catalogue import RPC_DURATION
from paceline.telemetry.metrics import Metrics
from paceline.v1 import log_service_pb2_grpc

# The transport reads up to so many times the limit, so that a message just over it is refused with a reason.
_TRANSPORT_SLACK = 4
_KEEPALIVE_SECONDS = 20
_KEEPALIVE_TIMEOUT_SECONDS = 10
_FASTEST_CLIENT_KEEPALIVE_SECONDS = 5
_CHANNELZ_NAME = "grpc.channelz.v1.Channelz"
_MAX_PENDING_CALLS = 1 << 20

_log = structlog.get_logger()


class Service(NamedTuple):
    """A gRPC service: its full name, and what adds its servicer to a server."""

    full_name: str
    add_to: Callable[[grpc.aio.Server], None]


class ServiceServer:
    """A grpc.aio server with health, reflection, channelz, a log level, limits and an orderly end.

    Entering the `async with` block listens, with health NOT_SERVING, and notes SIGTERM and SIGINT from then
    on. `serve` reports SERVING until one of them comes, then drains: it sets `draining`, waits for the calls
    that run, but no longer than leaves `closing_seconds` of the grace period, and returns. Leaving the block ends what
    is left, such as a watch on the health, and closes the sockets. Where there are certificates, everything is behind
    TLS but the port of `health_listen`, which serves the health and nothing else. `guards` see a call before anything
    else does.

    Raises ConfigError where an address cannot be listened on or the certificates cannot be used.

    Attributes:
        port: What it listens on; there once the block is entered.
        health_port: The port for health alone; None where there is none.
    """

    def __init__(
        self,
        config: ServiceConfig,
        services: Sequence[Service],
        draining: asyncio.Event,
        metrics: Metrics | None = None,
        guards: Sequence[grpc.aio.ServerInterceptor] = (),
    ) -> None:
        calls = (metrics or Metrics()).histogram(RPC_DURATION)
        self._config = config
        self._calls = RunningCalls()
        self._health = health.aio.HealthServicer()  # pyright: ignore[reportAttributeAccessIssue]
        self._draining = draining
        files = config.certificate_files
        self._certificates = None if files is None else CertificateWatch(files, Role.SERVER)
        self._server = grpc.aio.server(
            interceptors=[
                *guards,
                CallInterceptor(self._calls, calls, config.max_message_bytes),
                *([PeerGuard(config.tls_peer_names)] if config.tls_peer_names else ()),
            ],
            options=_options(config),
        )
        self._health_server = grpc.aio.server(options=_options(config))
        self._service_names = [*(service.full_name for service in services), LOG_SERVICE_NAME]
        self._stop_requested = asyncio.Event()
        for service in services:
            service.add_to(self._server)
        log_service_pb2_grpc.add_LogServiceServicer_to_server(LogServicer(), self._server)
        for server in (self._server, self._health_server):
            health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        channelz.add_channelz_servicer(self._server)
        reflection.enable_server_reflection(
            [*self._service_names, health.SERVICE_NAME, reflection.SERVICE_NAME, _CHANNELZ_NAME], self._server
        )

    async def __aenter__(self) -> Self:
        await self._report(health_pb2.HealthCheckResponse.NOT_SERVING)
        self.port, self.health_port = self._bind(), self._bind_health()
        await self._server.start()
        await self._health_server.start()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self.request_stop)
        _log.info(
            "listening",
            address=self._config.listen,
            port=self.port,
            health_port=self.health_port,
            is_encrypted=self._certificates is not None,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        servers = (self._server, self._health_server)
        await asyncio.gather(*(one.stop(self._config.closing_seconds / 2) for one in servers))
        _log.info("stopped")

    def request_stop(self) -> None:
        """Begin the end, as SIGTERM does."""
        self._stop_requested.set()

    async def serve(self) -> None:
        """Serve until a stop is requested, then drain."""
        if not self._stop_requested.is_set():
            spare_long_lived_objects()
            await self._report(health_pb2.HealthCheckResponse.SERVING)
            _log.info("serving")
        await self._stop_requested.wait()
        await self._drain()

    async def _drain(self) -> None:
        _log.info("draining", grace_seconds=self._config.grace_seconds)
        await self._health.enter_graceful_shutdown()
        self._draining.set()
        try:
            async with asyncio.timeout(self._config.grace_seconds - self._config.closing_seconds):
                await self._calls.ended()
        except TimeoutError:
            _log.warning("grace_period_over")

    async def _report(self, status: "health_pb2.HealthCheckResponse.ServingStatus.ValueType") -> None:
        for name in ("", *self._service_names):
            await self._health.set(name, status)

    def _bind(self) -> int:
        address = self._config.listen
        if self._certificates is None:
            if not is_loopback(address):
                _log.warning(
                    "plain_text", address=address, advice="give --tls-certificate-file; see docs/tls.md"
                )
            return _bound(self._server, "listen", address, None)
        asks = self._config.tls_clients == "require"
        credentials = server_credentials(self._certificates, asks_for_certificates=asks)
        return _bound(self._server, "listen", address, credentials)

    def _bind_health(self) -> int | None:
        """Have the health in plain text too: kubelets speak no TLS, and it tells nothing else."""
        address = self._config.health_listen
        return None if address is None else _bound(self._health_server, "health_listen", address, None)


def _bound(
    server: grpc.aio.Server, setting: str, address: str, credentials: grpc.ServerCredentials | None
) -> int:
    try:
        if credentials is None:
            return server.add_insecure_port(address)
        return server.add_secure_port(address, credentials)
    except RuntimeError as error:
        flag = "--" + setting.replace("_", "-")
        raise ConfigError(
            f"{flag} {address}: the address cannot be listened on; is the port in use?", setting=setting
        ) from error


def _options(config: ServiceConfig) -> list[tuple[str, int]]:
    return [
        ("grpc.max_receive_message_length", _TRANSPORT_SLACK * config.max_message_bytes),
        ("grpc.max_send_message_length", -1),
        ("grpc.max_concurrent_streams", config.max_concurrent_streams),
        ("grpc.keepalive_time_ms", 1000 * _KEEPALIVE_SECONDS),
        ("grpc.keepalive_timeout_ms", 1000 * _KEEPALIVE_TIMEOUT_SECONDS),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", 1000 * _FASTEST_CLIENT_KEEPALIVE_SECONDS),
        # Beyond 1000 calls that have come and not begun, gRPC would cancel some of them without a reason.
        ("grpc.server.max_pending_requests", _MAX_PENDING_CALLS),
        ("grpc.server.max_pending_requests_hard_limit", _MAX_PENDING_CALLS),
        # Two processes on one port would share its calls unnoticed.
        ("grpc.so_reuseport", 0),
    ]
