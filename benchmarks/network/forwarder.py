"""The process that is the network: makes the namespaces and carries packets between them, with delay.

It is started in the orchestrator's namespace, prints the descriptors that keep the others as one JSON line, and takes
delays as JSON lines: {"2": SECONDS, "3": SECONDS}, one way, by place. It ends when its input does, and the namespaces
with the last process in them.
"""

import json
import os
import select
import sys
import time

from benchmarks.network.delay_line import DelayLine
from benchmarks.network.namespaces import enter_new_namespace
from benchmarks.network.places import Place
from benchmarks.network.tun_device import open_tun

MAX_PACKET_BYTES = 1 << 16
MAX_WAIT_SECONDS = 1.0


def make_network() -> tuple[dict[Place, int], dict[Place, int]]:
    """Make every place; returns descriptors of their devices and of the pools' namespaces."""
    devices = {Place.ORCHESTRATOR: open_tun(Place.ORCHESTRATOR.address)}
    namespaces: dict[Place, int] = {}
    for place in (Place.TARGET, Place.DRAFT):
        namespaces[place] = enter_new_namespace()
        devices[place] = open_tun(place.address)
    return devices, namespaces


def forward(devices: dict[Place, int]) -> None:
    """Carry packets until the input ends."""
    line, places = DelayLine(), {device: place for place, device in devices.items()}
    control = sys.stdin.fileno()
    while True:
        next_at = line.next_at()
        wait = MAX_WAIT_SECONDS if next_at is None else max(0.0, next_at - time.monotonic())
        # select, because epoll rounds its time up to whole milliseconds.
        readable, _, _ = select.select([control, *places], [], [], wait)
        for one in readable:
            if one is not control:
                _take_all(one, places[one], line)
            elif not _take_delays(sys.stdin.readline(), line):
                return
        for destination, data in line.due(time.monotonic()):
            os.write(devices[destination], data)


def _take_all(device: int, source: Place, line: DelayLine) -> None:
    while True:
        try:
            line.put(source, os.read(device, MAX_PACKET_BYTES), time.monotonic())
        except BlockingIOError:
            return


def _take_delays(text: str, line: DelayLine) -> bool:
    """Use the delays of a line of input from now on; False at its end."""
    if text:
        line.delays = {Place(int(place)): seconds for place, seconds in json.loads(text).items()}
    return bool(text)


def main() -> None:
    devices, namespaces = make_network()
    print(json.dumps({place.value: descriptor for place, descriptor in namespaces.items()}), flush=True)
    forward(devices)


if __name__ == "__main__":
    main()
