"""Measuring a round trip as ping does: ICMP echo requests, which the kernel at the other end answers."""

import os
import socket
import statistics
import struct
import time

from benchmarks.network.places import Place

ECHO_REQUEST, ECHO_REPLY = 8, 0
NUM_PROBES = 15
ANSWER_SECONDS = 2.0
IP_HEADER_BYTES = 20


def round_trip_seconds(place: Place, num_probes: int = NUM_PROBES) -> float:
    """Return the median of some round trips; raises TimeoutError where no answer comes."""
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as probe:
        probe.settimeout(ANSWER_SECONDS)
        return statistics.median(_round_trip(probe, place, number) for number in range(num_probes + 1))


def _round_trip(probe: socket.socket, place: Place, number: int) -> float:
    started_at = time.monotonic()
    probe.sendto(echo_request(os.getpid() & 0xFFFF, number), (place.address, 0))
    while True:
        answer = probe.recv(1 << 10)[IP_HEADER_BYTES:]
        kind, _, _, identifier, sequence = struct.unpack_from("!BBHHH", answer)
        if (kind, identifier, sequence) == (ECHO_REPLY, os.getpid() & 0xFFFF, number):
            return time.monotonic() - started_at


def echo_request(identifier: int, sequence: int) -> bytes:
    """Return an ICMP echo request (RFC 792) without data."""
    without_sum = struct.pack("!BBHHH", ECHO_REQUEST, 0, 0, identifier, sequence)
    return struct.pack("!BBHHH", ECHO_REQUEST, 0, checksum(without_sum), identifier, sequence)


def checksum(data: bytes) -> int:
    """Return the internet checksum (RFC 1071) of an even number of bytes."""
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
