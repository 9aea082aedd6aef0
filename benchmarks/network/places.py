"""The three places of an emulated network, and their addresses: RFC 2544's block for benchmarks of networks."""

from enum import IntEnum

PREFIX_BITS = 24


class Place(IntEnum):
    """Where a process stands; the value is the last byte of its address."""

    ORCHESTRATOR = 1
    TARGET = 2
    DRAFT = 3

    @property
    def address(self) -> str:
        """The address that is reached over the emulated network."""
        return f"198.18.0.{self.value}"
