"""The network between hosts, seen from the test."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.network import namespaces
from tests.chaos.network import ask
from tests.hosts.switch import Quality, Way
from tests.paceline.serving.processes import ROOT

RESOLVER_FILE = "/etc/resolv.conf"
# The file is another one for this process and its children only.
_WITH_RESOLVER = ("unshare", "--mount", "sh", "-c", f'mount --bind "$0" {RESOLVER_FILE} && exec "$@"')


def refusal() -> str | None:
    """Say why this machine lets us make no hosts; None where it does."""
    if (why := namespaces.refusal()) is not None:
        return why
    tried = subprocess.run(
        [*_WITH_RESOLVER, "/dev/null", "true"], capture_output=True, text=True, check=False
    )
    return f"mount namespaces are refused: {tried.stderr.strip()}" if tried.returncode else None


@dataclass(frozen=True)
class NetworkPlan:
    """What there is.

    Attributes:
        addresses: The address of each host.
        name_server: The host that answers for names.
        back_doors: A socket file in front of a port, by host.
    """

    addresses: Mapping[str, str]
    name_server: str
    back_doors: Mapping[str, tuple[Path, int]]


class HostNetwork:
    """Runs programs on hosts, names hosts, and changes the ways between them."""

    def __init__(
        self,
        plan: NetworkPlan,
        process: asyncio.subprocess.Process,
        descriptors: Mapping[str, int],
        resolver_file: Path,
    ) -> None:
        self._plan = plan
        self._process = process
        self._descriptors = descriptors
        self._resolver_file = resolver_file
        self._one_at_a_time = asyncio.Lock()

    @property
    def hosts(self) -> Collection[str]:
        """All hosts."""
        return self._plan.addresses.keys()

    def address(self, host: str) -> str:
        """The address of a host."""
        return self._plan.addresses[host]

    def entering(self, host: str) -> tuple[str, ...]:
        """Return what to put in front of a command so that it runs on a host and asks the network's name server."""
        path = f"/proc/{self._process.pid}/fd/{self._descriptors[host]}"
        return (*namespaces.entering(path), *_WITH_RESOLVER, str(self._resolver_file))

    async def name(self, name: str, hosts: Collection[str]) -> None:
        """Have a name stand for hosts from now on, and for no others."""
        await self._tell({"change": "name", "name": name, "addresses": [self.address(one) for one in hosts]})

    async def change(self, ways: Collection[Way], quality: Quality) -> None:
        """Have ways carry packets in another way."""
        await self._tell(
            {
                "change": "quality",
                "ways": list(ways),
                "delay_seconds": quality.delay_seconds,
                "loss_interval": quality.loss_interval,
            }
        )

    @asynccontextmanager
    async def cut(self, ways: Collection[Way]) -> AsyncIterator[None]:
        """Lose every packet on some ways for as long as the block runs."""
        await self._tell({"change": "cut", "ways": list(ways)})
        try:
            yield
        finally:
            await self._tell({"change": "heal", "ways": list(ways)})

    @asynccontextmanager
    async def changed(self, ways: Collection[Way], quality: Quality) -> AsyncIterator[None]:
        """Have ways carry packets in another way for as long as the block runs, and then at once again."""
        await self.change(ways, quality)
        try:
            yield
        finally:
            await self.change(ways, Quality())

    async def _tell(self, command: Mapping[str, Any]) -> None:
        async with self._one_at_a_time:
            await ask(self._process, command)


@asynccontextmanager
async def host_network(plan: NetworkPlan, directory: Path) -> AsyncIterator[HostNetwork]:
    """Run the network inside the block; its log and the hosts' resolver file lie in the directory."""
    resolver_file = directory / "resolv.conf"
    resolver_file.write_text(f"nameserver {plan.addresses[plan.name_server]}\n")
    with (directory / "network.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.hosts.network_process"),
            cwd=ROOT,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
        )
    assert process.stdin is not None
    try:
        descriptors = await ask(
            process,
            {
                "addresses": dict(plan.addresses),
                "name_server": plan.name_server,
                "back_doors": {host: (str(path), port) for host, (path, port) in plan.back_doors.items()},
            },
        )
        yield HostNetwork(plan, process, descriptors, resolver_file)
    finally:
        process.stdin.close()
        await process.wait()
