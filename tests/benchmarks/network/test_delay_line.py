"""Packets on their way through the emulated network."""

from benchmarks.network.delay_line import DelayLine, destination_of
from benchmarks.network.places import Place


def packet(destination: int, mark: int = 0) -> bytes:
    """An IPv4 header whose destination ends in this byte, and one byte of data."""
    return bytes([0x45]) + bytes(18) + bytes([destination, mark])


def test_a_packet_comes_out_after_its_links_delay() -> None:
    line = DelayLine()
    line.delays = {Place.TARGET: 0.5, Place.DRAFT: 0.0}
    line.put(Place.ORCHESTRATOR, packet(Place.TARGET), now=1.0)
    assert line.due(1.4) == []
    assert line.next_at() == 1.5
    assert line.due(1.5) == [(Place.TARGET, packet(Place.TARGET))]
    assert line.next_at() is None


def test_the_way_back_takes_as_long() -> None:
    line = DelayLine()
    line.delays = {Place.TARGET: 0.5, Place.DRAFT: 0.0}
    line.put(Place.TARGET, packet(Place.ORCHESTRATOR), now=1.0)
    assert line.next_at() == 1.5


def test_each_pool_has_its_own_distance() -> None:
    line = DelayLine()
    line.delays = {Place.TARGET: 2.0, Place.DRAFT: 1.0}
    line.put(Place.ORCHESTRATOR, packet(Place.TARGET), now=0.0)
    line.put(Place.ORCHESTRATOR, packet(Place.DRAFT), now=0.0)
    assert [place for place, _ in line.due(1.0)] == [Place.DRAFT]
    assert [place for place, _ in line.due(2.0)] == [Place.TARGET]


def test_packets_of_a_link_keep_their_order_when_it_gets_shorter() -> None:
    line = DelayLine()
    line.delays = {Place.TARGET: 1.0, Place.DRAFT: 0.0}
    line.put(Place.ORCHESTRATOR, packet(Place.TARGET, 1), now=0.0)
    line.delays = {Place.TARGET: 0.0, Place.DRAFT: 0.0}
    line.put(Place.ORCHESTRATOR, packet(Place.TARGET, 2), now=0.5)
    assert line.due(0.9) == []
    assert [data[-1] for _, data in line.due(1.0)] == [1, 2]


def test_what_is_for_nobody_here_is_dropped() -> None:
    line = DelayLine()
    line.put(Place.ORCHESTRATOR, packet(77), now=0.0)
    line.put(Place.ORCHESTRATOR, bytes([0x60]) + bytes(39), now=0.0)  # IPv6: a router solicitation
    line.put(Place.ORCHESTRATOR, b"", now=0.0)
    assert line.due(9.0) == []
    assert destination_of(packet(Place.DRAFT)) is Place.DRAFT
