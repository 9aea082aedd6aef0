"""An HTTP connection that nobody can hold open for nothing.

uvicorn's own protocol waits for slow clients for ever: for the head of a request, for the rest of a body that nobody
wants any more, and for a reader of what is already written. Each of them gets `client_seconds` here.
"""

import asyncio
import json
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, cast

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle
from uvicorn.server import ServerState

from orchestrator.gateway.connection import ConnectionFacts, names_in
from orchestrator.gateway.guard import MAX_HEADER_BYTES

# A client that reads more slowly has so much here, and what the kernel keeps (SEND_BUFFER_BYTES), and no more.
_WRITE_BUFFER_BYTES = 32 << 10
SEND_BUFFER_BYTES = 128 << 10
_KEEPALIVE_IDLE_SECONDS = 20
_KEEPALIVE_INTERVAL_SECONDS = 10
_NUM_KEEPALIVES = 3


@dataclass(frozen=True)
class ConnectionLimits:
    """What connections are held to.

    Attributes:
        max_connections: Requests of further connections are refused, and beyond twice as many they are cut at once.
        client_seconds: How long a client may be waited for.
        note_dropped: Told why a connection was cut.
    """

    max_connections: int
    client_seconds: float
    note_dropped: Callable[[str], None]


class GatewayConfig(uvicorn.Config):
    """uvicorn's configuration, and ours."""

    limits: ConnectionLimits


class GatewayProtocol(H11Protocol):
    """One connection."""

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._limits = cast("GatewayConfig", config).limits
        self._waiting_for_sender: asyncio.TimerHandle | None = None
        self._waiting_for_reader: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Begin to wait for the head of a request."""
        super().connection_made(transport)
        transport.set_write_buffer_limits(_WRITE_BUFFER_BYTES)
        _notice_death_of(transport.get_extra_info("socket"))
        num_connections = len(self.connections)
        facts = ConnectionFacts(
            names_in(transport.get_extra_info("peercert")), num_connections > self._limits.max_connections
        )
        self.app_state = {**self.app_state, **facts.state}
        if num_connections > 2 * self._limits.max_connections:
            self._drop("TOO_MANY")
        else:
            self._wait_for_sender()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the timers."""
        self._stop_waiting_for_sender()
        self._stop_waiting_for_reader()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take in a part of a request."""
        super().data_received(data)
        if self._owes_us_something():
            self._wait_for_sender()
        else:
            self._stop_waiting_for_sender()
        if self.conn.their_state is h11.DONE and (ahead := self.conn.trailing_data[0]):
            # uvicorn would read no further until it has answered, and so not see the client go.
            if len(ahead) > MAX_HEADER_BYTES:
                self._drop("TOO_MANY")
            else:
                self.flow.resume_reading()

    def pause_writing(self) -> None:
        """Begin to wait for a reader that is behind."""
        super().pause_writing()
        self._wait_for_reader()

    def resume_writing(self) -> None:
        """The reader has caught up."""
        super().resume_writing()
        if not self.transport.is_closing():  # otherwise it has to read to the end
            self._stop_waiting_for_reader()

    def on_response_complete(self) -> None:
        """Wait for the end of a body that was not wanted, and for the reader of an answer that ends the connection."""
        super().on_response_complete()
        if self.transport.is_closing():
            self._wait_for_reader()
        elif self._owes_us_something():
            self._wait_for_sender()

    def timeout_keep_alive_handler(self) -> None:
        """Close an idle connection; where its last answer still waits to be read, so that nobody is waited for."""
        if self.transport.get_write_buffer_size() > 0:
            self._drop("SLOW_READER")
        else:
            super().timeout_keep_alive_handler()

    def shutdown(self) -> None:
        """End the connection after the request that is being answered."""
        super().shutdown()
        if self.transport.is_closing():
            self._wait_for_reader()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP; in the middle of another answer there is nothing to be said."""
        cycle = self._cycle
        if cycle is not None and cycle.response_started and not cycle.response_complete:
            self.transport.abort()
            return
        error = {"message": msg, "type": "invalid_request_error", "param": None, "code": "INVALID_REQUEST"}
        body = json.dumps({"error": error}).encode()
        self.transport.write(
            b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\nconnection: close\r\n"
            b"content-length: %d\r\n\r\n%b" % (len(body), body)
        )
        self.transport.close()
        self._wait_for_reader()

    def _owes_us_something(self) -> bool:
        """Whether a head has begun and not ended, or the rest of a body comes after its answer."""
        their_state = self.conn.their_state
        if their_state is h11.IDLE:
            return bool(self.conn.trailing_data[0])
        cycle = self._cycle
        return their_state is h11.SEND_BODY and cycle is not None and cycle.response_complete

    @property
    def _cycle(self) -> RequestResponseCycle | None:
        """The request that was read last."""
        return cast("RequestResponseCycle | None", self.cycle)

    def _wait_for_sender(self) -> None:
        if self._waiting_for_sender is None:
            self._waiting_for_sender = self.loop.call_later(
                self._limits.client_seconds, self._drop, "SLOW_SENDER"
            )

    def _stop_waiting_for_sender(self) -> None:
        if self._waiting_for_sender is not None:
            self._waiting_for_sender.cancel()
            self._waiting_for_sender = None

    def _wait_for_reader(self) -> None:
        if self._waiting_for_reader is None:
            self._waiting_for_reader = self.loop.call_later(
                self._limits.client_seconds, self._drop, "SLOW_READER"
            )

    def _stop_waiting_for_reader(self) -> None:
        if self._waiting_for_reader is not None:
            self._waiting_for_reader.cancel()
            self._waiting_for_reader = None

    def _drop(self, reason: str) -> None:
        self._limits.note_dropped(reason)
        self.transport.abort()


def _notice_death_of(connected: socket.socket | None) -> None:
    """Have the kernel ask a silent client whether it is there."""
    if connected is None or connected.family not in {socket.AF_INET, socket.AF_INET6}:
        return
    with suppress(OSError, AttributeError):  # no kernel but Linux' has them all
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _KEEPALIVE_IDLE_SECONDS)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _KEEPALIVE_INTERVAL_SECONDS)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, _NUM_KEEPALIVES)
