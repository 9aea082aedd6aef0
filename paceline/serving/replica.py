"""Which process this is."""

import uuid
from dataclasses import dataclass, field

from paceline.serving.config import ModelServiceConfig
from paceline.serving.placement import Placement
from paceline.serving.version import ServiceVersion
from paceline.v1 import model_pb2


@dataclass(frozen=True)
class Replica:
    """One process that serves: a stable name, and an incarnation that is new at every start.

    Attributes:
        replica_id: The name.
        placement: The cores that it computes on; None where it computes on something else.
        incarnation: Of this start.
    """

    replica_id: str
    placement: Placement | None = None
    incarnation: str = field(default_factory=lambda: uuid.uuid4().hex)

    @classmethod
    def of(cls, config: ModelServiceConfig) -> "Replica":
        """Return this process, once it is pinned to its cores."""
        return cls(config.replica_id, Placement.here() if config.device == "CPU" else None)

    def to_message(self) -> model_pb2.ReplicaInfo:
        """Return it as the message."""
        placement = self.placement.to_message() if self.placement is not None else None
        return model_pb2.ReplicaInfo(
            replica_id=self.replica_id,
            incarnation=self.incarnation,
            placement=placement,
            version=ServiceVersion.here().to_message(),
        )
