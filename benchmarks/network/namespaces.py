"""Network namespaces without names: they live as long as somebody holds their file, so that nothing is left behind."""

import ctypes
import os
import subprocess
from pathlib import Path

CLONE_NEWNET = 0x40000000  # linux/sched.h
TUN_PATH = Path("/dev/net/tun")
OWN_NAMESPACE = "/proc/self/ns/net"


def refusal() -> str | None:
    """Say why this machine lets us make no network namespaces with TUN devices; None where it does."""
    if not TUN_PATH.exists():
        return f"there is no {TUN_PATH}"
    try:
        tried = subprocess.run(
            ["unshare", "--net", "ip", "tuntap", "add", "dev", "tun0", "mode", "tun"],
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError as error:
        return f"there is no program {error.filename}: install util-linux and iproute2"
    return f"network namespaces are refused: {tried.stderr.strip()}" if tried.returncode else None


def enter_new_namespace() -> int:
    """Move this thread into a namespace of its own, and return a descriptor that keeps it.

    Raises OSError where that is refused.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "network namespaces are refused")
    return open_own_namespace()


def open_own_namespace() -> int:
    """Return a descriptor of the namespace that this thread is in."""
    return os.open(OWN_NAMESPACE, os.O_RDONLY)


def entering(namespace_path: str) -> tuple[str, ...]:
    """Return what to put in front of a command so that it runs in a namespace."""
    return ("nsenter", f"--net={namespace_path}")
