"""What the switch does with packets; namespaces and devices are not needed for it."""

import socket

from tests.hosts.switch import Delivery, Quality, Switch, Way, around, between

ADDRESSES = {"one": "192.0.2.1", "two": "192.0.2.2", "three": "192.0.2.3"}


def packet(host: str) -> bytes:
    """An IPv4 header without anything behind it."""
    return bytes([0x45]) + bytes(15) + socket.inet_aton(ADDRESSES[host])


def test_a_packet_goes_to_the_host_of_its_address() -> None:
    assert Switch(ADDRESSES).deliver("one", packet("two")) == Delivery("two", 0.0)


def test_what_is_for_nobody_here_is_dropped() -> None:
    switch = Switch(ADDRESSES)
    assert switch.deliver("one", bytes([0x45]) + bytes(19)) is None
    assert switch.deliver("one", bytes([0x60]) + bytes(39)) is None  # IPv6: a router solicitation
    assert switch.deliver("one", b"") is None


def test_a_way_that_is_cut_carries_nothing_and_the_way_back_does() -> None:
    switch = Switch(ADDRESSES)
    switch.cut([Way("one", "two")])
    assert switch.deliver("one", packet("two")) is None
    assert switch.deliver("two", packet("one")) == Delivery("one", 0.0)
    switch.heal([Way("one", "two")])
    assert switch.deliver("one", packet("two")) == Delivery("two", 0.0)


def test_a_host_that_is_cut_off_reaches_nobody_and_the_others_each_other() -> None:
    switch = Switch(ADDRESSES)
    switch.cut(around("one", ADDRESSES))
    assert not any(switch.deliver("one", packet(other)) for other in ("two", "three"))
    assert not any(switch.deliver(other, packet("one")) for other in ("two", "three"))
    assert switch.deliver("two", packet("three")) == Delivery("three", 0.0)


def test_a_slow_way_stays_slow_when_a_cut_is_over() -> None:
    switch = Switch(ADDRESSES)
    switch.change(between("one", "two"), Quality(delay_seconds=0.5))
    switch.cut(between("one", "two"))
    switch.heal(between("one", "two"))
    assert switch.deliver("one", packet("two")) == Delivery("two", 0.5)
    assert switch.deliver("two", packet("one")) == Delivery("one", 0.5)
    assert switch.deliver("one", packet("three")) == Delivery("three", 0.0)


def test_each_so_manieth_packet_of_a_bad_way_is_lost() -> None:
    switch = Switch(ADDRESSES)
    switch.change([Way("one", "two")], Quality(loss_interval=3))
    arrived = [switch.deliver("one", packet("two")) is not None for _ in range(7)]
    assert arrived == [True, True, False, True, True, False, True]
