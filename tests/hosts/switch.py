"""Which packets between hosts arrive, and how late."""

import socket
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

VERSION_4 = 4
DESTINATION = slice(16, 20)  # of an IPv4 header


class Way(NamedTuple):
    """One direction between two hosts."""

    source: str
    destination: str


@dataclass(frozen=True)
class Quality:
    """How a way treats packets that it carries: how late they come, and that each so-manieth of them is lost."""

    delay_seconds: float = 0.0
    loss_interval: int | None = None


class Delivery(NamedTuple):
    """Where a packet comes out, and after how many seconds."""

    host: str
    delay_seconds: float


class Switch:
    """Carries IPv4 packets between the hosts of `addresses`, by name; at first at once and without loss."""

    def __init__(self, addresses: Mapping[str, str]) -> None:
        self._hosts = {socket.inet_aton(address): host for host, address in addresses.items()}
        self._cut: set[Way] = set()
        self._qualities: dict[Way, Quality] = {}
        self._counts: Counter[Way] = Counter()

    def cut(self, ways: Iterable[Way]) -> None:
        """Lose every packet on some ways from now on; nobody is told."""
        self._cut.update(ways)

    def heal(self, ways: Iterable[Way]) -> None:
        """Carry again what comes on some ways, as well as before."""
        self._cut.difference_update(ways)

    def change(self, ways: Iterable[Way], quality: Quality) -> None:
        """Treat packets on some ways in another way from now on."""
        self._qualities.update(dict.fromkeys(ways, quality))

    def deliver(self, source: str, packet: bytes) -> Delivery | None:
        """Say where a packet from `source` goes; None where it is lost or for nobody here."""
        if not packet or packet[0] >> 4 != VERSION_4:
            return None
        host = self._hosts.get(packet[DESTINATION])
        if host is None:
            return None
        way = Way(source, host)
        quality = self._qualities.get(way, Quality())
        return (
            None if way in self._cut or self._loses(way, quality) else Delivery(host, quality.delay_seconds)
        )

    def _loses(self, way: Way, quality: Quality) -> bool:
        """Count, rather than draw, so that a packet that is sent again comes through."""
        self._counts[way] += 1
        return quality.loss_interval is not None and self._counts[way] % quality.loss_interval == 0


def between(one: str, other: str) -> tuple[Way, Way]:
    """Return both ways between two hosts."""
    return Way(one, other), Way(other, one)


def around(host: str, others: Iterable[str]) -> tuple[Way, ...]:
    """Return all ways between a host and others."""
    return tuple(way for other in others if other != host for way in between(host, other))
