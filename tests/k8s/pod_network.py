"""A network of pods on one machine: each has a namespace and an address, and a bridge joins them.

It stands in the network namespace of this process, which has to be one of its own (`unshare --net`): with that it goes.
"""

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# RFC 2544's block for tests of networks, away from that of the benchmarks.
NODE_ADDRESS = "198.18.7.1"
PREFIX_BITS = 24
BRIDGE = "pods"


def refusal() -> str | None:
    """Say why this machine lets us make no such network; None where it does."""
    commands = f"ip link add {BRIDGE} type bridge && ip link add pod type veth peer name eth0"
    try:
        tried = subprocess.run(
            ["unshare", "--net", "sh", "-c", commands], capture_output=True, text=True, check=False
        )
    except FileNotFoundError as error:
        return f"there is no program {error.filename}"
    return f"network namespaces are refused: {tried.stderr.strip()}" if tried.returncode else None


def address_of(number: int) -> str:
    """Return the address of the pod with a number from 2 on."""
    return NODE_ADDRESS.rpartition(".")[0] + f".{number}"


def make_bridge() -> None:
    """Make what joins the pods, with this process at one end."""
    _ip("link", "set", "lo", "up")
    _ip("link", "add", BRIDGE, "type", "bridge")
    _ip("address", "add", f"{NODE_ADDRESS}/{PREFIX_BITS}", "dev", BRIDGE)
    _ip("link", "set", BRIDGE, "up")


@contextmanager
def pod_namespace(number: int) -> Iterator[str]:
    """Yield the path of a namespace with an address; a process holds it, as a pod's sandbox container does."""
    holder = subprocess.Popen(["unshare", "--net", "sleep", "infinity"])
    try:
        path = Path(f"/proc/{holder.pid}/ns/net")
        while path.readlink() == Path("/proc/self/ns/net").readlink():
            time.sleep(0.01)
        near = f"pod{number}"
        _ip("link", "add", near, "type", "veth", "peer", "name", "eth0", "netns", str(holder.pid))
        _ip("link", "set", near, "master", BRIDGE, "up")
        inside = ("nsenter", f"--net={path}", "ip")
        _run(*inside, "address", "add", f"{address_of(number)}/{PREFIX_BITS}", "dev", "eth0")
        _run(*inside, "link", "set", "eth0", "up")
        _run(*inside, "link", "set", "lo", "up")
        yield str(path)
    finally:
        holder.kill()
        holder.wait()


def _ip(*arguments: str) -> None:
    _run("ip", *arguments)


def _run(*command: str) -> None:
    subprocess.run(command, check=True)
