"""How clients reach a service and prove who they are."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, TypeVar

import grpc.aio

from paceline.client.errors import CallFailedError, HandshakeFailedError
from paceline.errors import ConfigError
from paceline.security.certificate_watch import CertificateWatch
from paceline.security.certificates import CertificateFiles, OwnFiles, Role
from paceline.security.handshake import handshake_fault
from paceline.security.loopback import is_loopback
from paceline.security.renewed_channel import RenewedChannel, renewed_channel
from paceline.security.trust import Trust

T = TypeVar("T")

# The orchestrator decides what is too large; gRPC's own limit must not come first.
# Pings notice an orchestrator that is stopped or cut off while a stream waits for it.
CHANNEL_OPTIONS = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.keepalive_time_ms", 6_000),
    ("grpc.keepalive_timeout_ms", 3_000),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
)


@dataclass(frozen=True)
class ConnectionSettings:
    """How a client reaches a service: plain text and nameless, unless something else is given.

    Attributes:
        ca_file: PEM certificates of the authorities that servers' certificates may be of; makes the connection TLS.
        own_files: The client's own certificate and key, for services that want one.
        server_name: What the server's certificate must be for; the host of the address if None.
        api_key: Who calls, for orchestrators that want to know.
        is_key_sent_openly: Whether the key may go in plain text over a network.

    Raises ConfigError where one is useless without another.
    """

    ca_file: Path | None = None
    own_files: OwnFiles | None = None
    server_name: str | None = None
    api_key: str | None = field(default=None, repr=False)
    is_key_sent_openly: bool = False

    def __post_init__(self) -> None:
        if self.ca_file is None and (self.own_files is not None or self.server_name is not None):
            raise ConfigError(
                "a certificate or a server's name is for TLS: give the authority's certificates too (--ca-file)",
                setting="ca_file",
            )
        if self.api_key is not None and not _is_one_word(self.api_key):
            raise ConfigError("the API key is not one word of ASCII characters", setting="api_key")

    @classmethod
    def of(
        cls,
        api_key: str | None = None,
        ca_file: Path | str | None = None,
        certificate_file: Path | str | None = None,
        key_file: Path | str | None = None,
        server_name: str | None = None,
        *,
        is_insecure: bool = False,
    ) -> Self:
        """Return what paths and words stand for; raises ConfigError where they contradict each other."""
        return cls(
            None if ca_file is None else Path(ca_file),
            _own_files(certificate_file, key_file),
            server_name,
            api_key,
            is_insecure,
        )

    def trust(self) -> Trust | None:
        """Read the certificates: None where the connection is plain text. Raises ConfigError."""
        if self.ca_file is None:
            return None
        watch = CertificateWatch(CertificateFiles(self.ca_file, self.own_files), Role.CLIENT)
        return Trust(watch, self.server_name)


PLAIN_TEXT = ConnectionSettings()


class Connection:
    """A connection to one service; made by `connected`.

    Attributes:
        address: HOST:PORT.
        metadata: What every call must carry.
    """

    def __init__(self, address: str, channel: RenewedChannel, settings: ConnectionSettings) -> None:
        self.address = address
        self.metadata = () if settings.api_key is None else (("authorization", f"Bearer {settings.api_key}"),)
        self._channel = channel
        self._is_encrypted = settings.ca_file is not None

    def stub(self, make_stub: Callable[[grpc.aio.Channel], T]) -> T:
        """Return a stub for one call, with the certificates as they are now."""
        return make_stub(self._channel.newest())

    async def ask(
        self, method: Callable[..., Awaitable[T]], request: Any, timeout_seconds: float | None = None
    ) -> T:
        """Return what a stub's method answers; raises CallFailedError, also where it takes longer than the timeout."""
        try:
            return await method(request, timeout=timeout_seconds, metadata=self.metadata)
        except grpc.aio.AioRpcError as error:
            raise self.failure(error) from error

    def failure(self, error: grpc.aio.AioRpcError) -> CallFailedError:
        """Return what a failed call comes to."""
        return CallFailedError.of(self.address, error, is_encrypted=self._is_encrypted)


@asynccontextmanager
async def connected(address: str, settings: ConnectionSettings = PLAIN_TEXT) -> AsyncIterator[Connection]:
    """Connect to HOST:PORT inside a `with`; the first call finds out if anybody is there.

    Certificates that are replaced on disk are used for new calls. Raises ConfigError where they cannot be used, or
    where a key would go over a network for all to read.
    """
    if settings.api_key is not None and settings.ca_file is None and not is_loopback(address):
        _require_consent(address, settings)
    async with renewed_channel(address, settings.trust(), CHANNEL_OPTIONS) as channel:
        yield Connection(address, channel, settings)


async def handshake_failure(
    error: CallFailedError, settings: ConnectionSettings, timeout_seconds: float = 1.0
) -> HandshakeFailedError | None:
    """Return what a call failed of, if that was TLS: the connection is tried once more, and watched."""
    if error.call_reason != "UNAVAILABLE":
        return None
    trust = settings.trust()
    certificates = None if trust is None else trust.watch.newest()
    fault = await handshake_fault(error.address, certificates, settings.server_name, timeout_seconds)
    return None if fault is None else HandshakeFailedError(error.address, fault)


@asynccontextmanager
async def handshakes_explained(settings: ConnectionSettings) -> AsyncIterator[None]:
    """Raise HandshakeFailedError in place of a CallFailedError that comes of TLS, for people to read."""
    try:
        yield
    except CallFailedError as error:
        failure = await handshake_failure(error, settings)
        raise failure or error from error


def _require_consent(address: str, settings: ConnectionSettings) -> None:
    if not settings.is_key_sent_openly:
        raise ConfigError(
            f"the API key would go to {address} in plain text, for others to read: give --ca-file, or --insecure where "
            "the network is trusted",
            setting="ca_file",
        )


def _own_files(certificate_file: Path | str | None, key_file: Path | str | None) -> OwnFiles | None:
    if certificate_file is None and key_file is None:
        return None
    if certificate_file is None or key_file is None:
        missing = "--certificate-file" if certificate_file is None else "--key-file"
        raise ConfigError(
            f"a certificate and its key go together: give {missing} too", setting="certificate_file"
        )
    return OwnFiles(Path(certificate_file), Path(key_file))


def _is_one_word(key: str) -> bool:
    return key.isascii() and key.isprintable() and key != "" and " " not in key
