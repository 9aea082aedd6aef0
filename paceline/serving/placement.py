"""On which cores of which machine a process computes, to tell whether two processes share some."""

from dataclasses import dataclass
from pathlib import Path

from paceline.serving.config import usable_cores
from paceline.v1 import model_pb2

# Not in a namespace: containers and pods of one node read the same.
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True)
class Placement:
    """Cores of a machine; `machine_id` is the same for all processes under one kernel."""

    machine_id: str
    cores: frozenset[int]

    @classmethod
    def here(cls) -> "Placement | None":
        """Return that of this process; None on systems that do not tell."""
        try:
            return cls(_BOOT_ID.read_text().strip(), usable_cores())
        except OSError:
            return None

    @classmethod
    def from_message(cls, message: model_pb2.ReplicaInfo) -> "Placement | None":
        """Return what a replica says of itself; None where it says nothing, as older ones and accelerators do."""
        if not message.HasField("placement"):
            return None
        return cls(message.placement.machine_id, frozenset(message.placement.cores))

    def to_message(self) -> model_pb2.Placement:
        """Return it as the message."""
        return model_pb2.Placement(machine_id=self.machine_id, cores=sorted(self.cores))

    def shares_cores_with(self, other: "Placement") -> bool:
        """Return whether both compute on some core."""
        return self.machine_id == other.machine_id and not self.cores.isdisjoint(other.cores)
