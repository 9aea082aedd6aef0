"""Addresses that a local cluster can listen on."""

import errno
import socket
from contextlib import ExitStack

from paceline.errors import ConfigError
from paceline.local.errors import AddressInUseError
from paceline.local.plan import LOOPBACK


def free_ports(num_wanted: int) -> list[int]:
    """Return different ports of the loopback interface that were free a moment ago."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(num_wanted)]
        for one in sockets:
            one.bind((LOOPBACK, 0))
        return [one.getsockname()[1] for one in sockets]


def free_address(wanted: str) -> str:
    """Return HOST:PORT where that is free, else a free port of the same host."""
    try:
        require_free(wanted)
    except AddressInUseError:
        return f"{wanted.rpartition(':')[0]}:{free_ports(1)[0]}"
    return wanted


def require_free(address: str, flag: str = "--listen") -> None:
    """Raise ConfigError where this is no address of this machine, AddressInUseError where it is taken."""
    setting = flag.removeprefix("--").replace("-", "_")
    host, _, port = address.rpartition(":")
    if not (host and port.isdecimal() and 0 < int(port) < 1 << 16):
        raise ConfigError(
            f"{flag} {address!r} is not HOST:PORT, for example {LOOPBACK}:7000", setting=setting
        )
    try:
        family, *_, socket_address = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)[
            0
        ]
        with socket.socket(family) as probe:
            # As the server will do: what a server that has just ended left behind does not count.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(socket_address)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise AddressInUseError(address, flag) from error
        raise ConfigError(
            f"{flag} {address}: this machine cannot listen there ({error.strerror})", setting=setting
        ) from error
