"""Where replicas are: addresses that are given, and names in DNS that stand for as many as they resolve to.

A headless Service of Kubernetes resolves to every pod, so that `dns:NAME:PORT` follows a pool as it scales.
"""

import asyncio
import random
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from typing import NamedTuple

import structlog

_PREFIX = "dns:"

_log = structlog.get_logger()


class DnsName(NamedTuple):
    """A name that stands for all addresses that it resolves to, at one port."""

    name: str
    port: int


class Places(NamedTuple):
    """Where the replicas of a pool are to be found."""

    addresses: tuple[str, ...]
    names: tuple[DnsName, ...]

    @classmethod
    def of(cls, written: Iterable[str]) -> "Places":
        """Read HOST:PORT and dns:NAME:PORT, which the configuration has checked to end with a port."""
        written = tuple(written)
        names = (one.removeprefix(_PREFIX).rpartition(":") for one in written if one.startswith(_PREFIX))
        return cls(
            tuple(one for one in written if not one.startswith(_PREFIX)),
            tuple(DnsName(name, int(port)) for name, _, port in names),
        )


Resolve = Callable[[DnsName], Awaitable[Sequence[str]]]


async def resolve_dns(name: DnsName) -> Sequence[str]:
    """Return every address of a name as HOST:PORT; raises OSError where it has none or nobody answers."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(name.name, name.port, type=socket.SOCK_STREAM)
    hosts = dict.fromkeys(str(address[0]) for _, _, _, _, address in found)
    return [f"[{host}]:{name.port}" if ":" in host else f"{host}:{name.port}" for host in hosts]


async def follow(name: DnsName, resolve: Resolve, interval_seconds: float) -> AsyncIterator[frozenset[str]]:
    """Yield the addresses of a name, again and again; while it cannot be resolved nothing is yielded.

    So replicas that serve are kept through an outage of DNS. A name whose last pod has gone resolves to nothing too:
    its replicas go when their connections do.
    """
    is_known = True
    while True:
        try:
            addresses = frozenset(await resolve(name))
        except OSError as error:
            if is_known:
                _log.warning("name_not_resolved", name=name.name, error=str(error))
            is_known = False
        else:
            is_known = True
            yield addresses
        await asyncio.sleep(random.uniform(0.8, 1.2) * interval_seconds)  # noqa: S311, jitter
