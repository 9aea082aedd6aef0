"""The network between hosts in a process of its own: `python -m tests.hosts.network_process`.

It makes a namespace for each host, carries packets between them, answers as their name server, and opens back doors.
The first line of its input says what there is; it prints the descriptor of each namespace by host. Every further line
changes one thing and is answered with a line. It ends when its input does, and each namespace with the last process in
it.
"""

import asyncio
import json
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.network.namespaces import enter_new_namespace
from benchmarks.network.tun_device import open_tun
from tests.chaos.network_process import answer, standard_input
from tests.hosts.back_door import BackDoor
from tests.hosts.namespace import inside
from tests.hosts.switch import Quality, Switch, Way
from tests.hosts.zone import Zone

DNS_PORT = 53
MAX_PACKET_BYTES = 1 << 16


class Wires:
    """The hosts' devices, and the switch that they are plugged into."""

    def __init__(self, devices: Mapping[str, int], switch: Switch) -> None:
        self._devices = devices
        self._switch = switch

    def plug_in(self) -> None:
        """Begin to carry."""
        for host, device in self._devices.items():
            asyncio.get_running_loop().add_reader(device, self._carry_all, host)

    def _carry_all(self, source: str) -> None:
        while True:
            try:
                packet = os.read(self._devices[source], MAX_PACKET_BYTES)
            except BlockingIOError:
                return
            if (delivery := self._switch.deliver(source, packet)) is None:
                continue
            device = self._devices[delivery.host]
            if delivery.delay_seconds:
                asyncio.get_running_loop().call_later(delivery.delay_seconds, os.write, device, packet)
            else:
                os.write(device, packet)


class NameServer(asyncio.DatagramProtocol):
    """Answers for a zone."""

    def __init__(self, zone: Zone) -> None:
        self._zone = zone

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        self._transport.sendto(self._zone.answer(data), addr)

    async def listen(self, namespace: int, address: str) -> None:
        """Begin to answer at an address of a namespace."""
        with inside(namespace):
            listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            listener.bind((address, DNS_PORT))
        listener.setblocking(False)
        await asyncio.get_running_loop().create_datagram_endpoint(lambda: self, sock=listener)


async def serve() -> None:
    """Be the network until the input ends."""
    commands = await standard_input()
    plan: dict[str, Any] = json.loads(await commands.readline())
    addresses: dict[str, str] = plan["addresses"]
    namespaces: dict[str, int] = {}
    devices: dict[str, int] = {}
    for host, address in addresses.items():
        namespaces[host] = enter_new_namespace()
        devices[host] = open_tun(address)
    switch, zone = Switch(addresses), Zone()
    Wires(devices, switch).plug_in()
    name_server: str = plan["name_server"]
    await NameServer(zone).listen(namespaces[name_server], addresses[name_server])
    for host, (path, port) in plan["back_doors"].items():
        await BackDoor(Path(path), namespaces[host], port).open()
    answer(namespaces)
    while line := await commands.readline():
        change(json.loads(line), switch, zone)
        answer({})


def change(command: dict[str, Any], switch: Switch, zone: Zone) -> None:
    """Do what a line says."""
    ways = [Way(*way) for way in command.get("ways", ())]
    match command["change"]:
        case "cut":
            switch.cut(ways)
        case "heal":
            switch.heal(ways)
        case "quality":
            switch.change(ways, Quality(command["delay_seconds"], command["loss_interval"]))
        case "name":
            zone.put(command["name"], command["addresses"])
        case other:
            raise ValueError(other)


if __name__ == "__main__":
    asyncio.run(serve())
