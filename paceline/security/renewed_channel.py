"""A channel whose certificates may be replaced while it is in use."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import grpc.aio

from paceline.security.certificates import Certificates
from paceline.security.handshake import HandshakeFault, handshake_fault
from paceline.security.trust import Trust, channel_credentials

# Nothing that runs over a channel takes longer; its end is no reason to cut a call off.
_RETIRED_SECONDS = 24 * 3600.0
# What gRPC calls the least back-off is the time that it gives a connection to come about: to the first frame of the
# other end, which has to come over a long way or from a busy machine, and through TLS' handshake where there is one.
_CONNECTING_TIME = "grpc.min_reconnect_backoff_ms"
_CONNECTING_MS = 1_000
_SECURE_CONNECTING_MS = 3_000

Options = Sequence[tuple[str, Any]]


class RenewedChannel:
    """The channel to an address for new calls, which is another one once the certificates have changed.

    A gRPC client's credentials never change, so that an old channel could not connect again. It stays open until its
    calls have ended. Without trust the channel is plain text, and always the same. Made by `renewed_channel`.
    """

    def __init__(self, address: str, trust: Trust | None, options: Options) -> None:
        self._address = address
        self._trust = trust
        self._options = list(options)
        self._certificates = None if trust is None else trust.watch.newest()
        self._channel = self._open()
        self._retiring: set[asyncio.Task[None]] = set()

    def newest(self) -> grpc.aio.Channel:
        """Return the channel for a new call."""
        if self._trust is not None:
            newest = self._trust.watch.newest()
            if newest is not self._certificates:
                self._retire(self._channel)
                self._certificates = newest
                self._channel = self._open()
        return self._channel

    async def handshake_fault(self, timeout_seconds: float) -> HandshakeFault | None:
        """Return why no connection comes about, as far as that has to do with TLS."""
        name = None if self._trust is None else self._trust.server_name
        return await handshake_fault(self._address, self._certificates, name, timeout_seconds)

    async def close(self) -> None:
        """Cancel what runs over any of its channels."""
        for task in self._retiring:
            task.cancel()
        await asyncio.gather(self._channel.close(), *self._retiring, return_exceptions=True)

    def _open(self) -> grpc.aio.Channel:
        return open_channel(self._address, self._trust, self._certificates, self._options)

    def _retire(self, channel: grpc.aio.Channel) -> None:
        task = asyncio.create_task(_close_after_its_calls(channel))
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)


async def _close_after_its_calls(channel: grpc.aio.Channel) -> None:
    try:
        await channel.close(_RETIRED_SECONDS)
    finally:
        await channel.close()


def open_channel(
    address: str, trust: Trust | None, certificates: Certificates | None, options: Options
) -> grpc.aio.Channel:
    """Return a channel that shows and believes these certificates; plain text without any."""
    if trust is None or certificates is None:
        return grpc.aio.insecure_channel(address, options=[*options, (_CONNECTING_TIME, _CONNECTING_MS)])
    secure = dict(options) | {_CONNECTING_TIME: _SECURE_CONNECTING_MS}
    if trust.server_name is not None:
        secure["grpc.ssl_target_name_override"] = trust.server_name
    return grpc.aio.secure_channel(address, channel_credentials(certificates), options=list(secure.items()))


@asynccontextmanager
async def renewed_channel(
    address: str, trust: Trust | None, options: Options
) -> AsyncIterator[RenewedChannel]:
    """Have a channel to HOST:PORT inside a `with`; the first call finds out if anybody is there."""
    channel = RenewedChannel(address, trust, options)
    try:
        yield channel
    finally:
        await channel.close()
