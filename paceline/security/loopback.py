"""Addresses that only processes of this machine can reach."""

from ipaddress import ip_address


def is_loopback(address: str) -> bool:
    """Return whether HOST:PORT or unix:PATH stays within this machine; a name that has to be looked up does not."""
    if address.startswith("unix:"):
        return True
    host = address.rpartition(":")[0].strip("[]")
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
