"""A TUN device: packets that the kernel routes to it are read from its file, and the other way round."""

import fcntl
import os
import struct
import subprocess
from pathlib import Path

from benchmarks.network.namespaces import TUN_PATH
from benchmarks.network.places import PREFIX_BITS

NAME = "tun0"
TUNSETIFF = 0x400454CA  # linux/if_tun.h
IFF_TUN, IFF_NO_PI = 0x0001, 0x1000
# BBR paces bursts and doubles the time at 10 ms; what is measured is distance, not congestion.
CONGESTION_CONTROL = ("/proc/sys/net/ipv4/tcp_congestion_control", "reno")


def open_tun(address: str) -> int:
    """Make a device in the namespace of this thread, up and with an address; returns its descriptor.

    Raises OSError or subprocess.CalledProcessError where that is refused.
    """
    device = os.open(TUN_PATH, os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH", NAME.encode(), IFF_TUN | IFF_NO_PI))
    for arguments in (
        ("link", "set", "lo", "up"),
        ("addr", "add", f"{address}/{PREFIX_BITS}", "dev", NAME),
        ("link", "set", NAME, "up"),
    ):
        subprocess.run(["ip", *arguments], check=True)
    path, algorithm = CONGESTION_CONTROL
    Path(path).write_text(algorithm)
    return device
