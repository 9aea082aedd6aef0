"""Packets on their way: each comes out after the delay that its link had when it went in."""

from collections import deque
from dataclasses import dataclass

from benchmarks.network.places import Place

DESTINATION_BYTE = 19  # the last of the destination address in an IPv4 header
VERSION_4 = 4


@dataclass(frozen=True)
class _Packet:
    due_at: float
    data: bytes


class DelayLine:
    """Links between the orchestrator and each pool; `delays` are seconds one way, by the pool at the far end."""

    def __init__(self) -> None:
        self.delays = {Place.TARGET: 0.0, Place.DRAFT: 0.0}
        self._links: dict[tuple[Place, Place], deque[_Packet]] = {}

    def put(self, source: Place, data: bytes, now: float) -> None:
        """Take a packet that has left `source`; what is for nobody here is dropped."""
        destination = destination_of(data)
        if destination is None or destination == source:
            return
        delay = self.delays.get(max(source, destination), 0.0)
        self._links.setdefault((source, destination), deque()).append(_Packet(now + delay, data))

    def due(self, now: float) -> list[tuple[Place, bytes]]:
        """Take out what has arrived by now: destinations and packets, in order on each link."""
        arrived: list[tuple[Place, bytes]] = []
        for (_, destination), link in self._links.items():
            while link and link[0].due_at <= now:
                arrived.append((destination, link.popleft().data))
        return arrived

    def next_at(self) -> float | None:
        """Return when the next packet arrives; None where none is on its way."""
        return min((link[0].due_at for link in self._links.values() if link), default=None)


def destination_of(data: bytes) -> Place | None:
    """Return the place that an IPv4 packet is for; None for anything else."""
    if len(data) <= DESTINATION_BYTE or data[0] >> 4 != VERSION_4:
        return None
    last_byte = data[DESTINATION_BYTE]
    return Place(last_byte) if last_byte in Place._value2member_map_ else None
