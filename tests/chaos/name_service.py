"""The names of a cluster, for processes on one machine: a hosts file that they see in the place of /etc/hosts.

So that an orchestrator resolves `dns:NAME:PORT` through the C library as in a cluster, and finds pods as they come and
go. A mount namespace gives a process its own view of one file; nothing outside it changes.
"""

import asyncio
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

_HOSTS = "/etc/hosts"
# One page, written at once, so that nobody reads half of it.
_NUM_BYTES = 4096
_TRIED_NAME, _TRIED_ADDRESSES = "paceline-tried", ("127.1.2.3", "127.1.2.4")
_ASK = f"""
import socket
found = socket.getaddrinfo({_TRIED_NAME!r}, 7001, type=socket.SOCK_STREAM)
print(*sorted(address[0] for *_, address in found))
"""


class NameService:
    """Names and the addresses that each stands for.

    `age_seconds` is how old an answer may be: in a cluster it lies in caches for so long.
    """

    def __init__(self, path: Path, age_seconds: float = 0.0) -> None:
        self._path = path
        self._age_seconds = age_seconds
        self._writing: set[asyncio.Task[None]] = set()
        write_hosts(path, {})

    def publish(self, names: Mapping[str, Sequence[str]]) -> None:
        """Answer so from now on, as soon as caches have forgotten what was before."""
        writing = asyncio.create_task(self._write(names))
        self._writing.add(writing)
        writing.add_done_callback(self._writing.discard)

    async def published(self) -> None:
        """Wait until nobody gets an older answer."""
        if self._writing:
            await asyncio.wait(self._writing)

    def before(self, command: Sequence[str]) -> tuple[str, ...]:
        """Return the command that resolves names here."""
        return resolving_with(self._path, command)

    async def _write(self, names: Mapping[str, Sequence[str]]) -> None:
        await asyncio.sleep(self._age_seconds)
        write_hosts(self._path, names)


def resolving_with(hosts: Path, command: Sequence[str]) -> tuple[str, ...]:
    """Return a command whose process sees a file in the place of /etc/hosts."""
    namespace = ("--mount",) if os.geteuid() == 0 else ("--user", "--map-root-user", "--mount")
    script = f'mount --bind "$0" {_HOSTS} && exec "$@"'
    return ("unshare", *namespace, "sh", "-c", script, str(hosts), *command)


def write_hosts(path: Path, names: Mapping[str, Sequence[str]]) -> None:
    """Write a hosts file in place: a process sees the file that was there when it started."""
    lines = ["127.0.0.1 localhost"]
    lines += [f"{address} {name}" for name, addresses in names.items() for address in addresses]
    text = "\n".join(lines).encode().ljust(_NUM_BYTES, b"\n")
    assert len(text) == _NUM_BYTES, "the file has outgrown its page"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o644)
    try:
        os.pwrite(descriptor, text, 0)
    finally:
        os.close(descriptor)


def refusal(directory: Path) -> str | None:
    """Say why names cannot be given to processes on this machine; None where they can."""
    hosts = directory / "tried-hosts"
    write_hosts(hosts, {_TRIED_NAME: _TRIED_ADDRESSES})
    command = resolving_with(hosts, (sys.executable, "-I", "-S", "-c", _ASK))
    try:
        tried = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        return f"there is no program {error.filename}: install util-linux"
    if tried.returncode:
        return f"a mount namespace with its own {_HOSTS} is refused: {tried.stderr.strip()[-200:]}"
    if tried.stdout.split() != list(_TRIED_ADDRESSES):
        return f"the C library does not ask {_HOSTS}: {tried.stdout.strip()}"
    return None
