"""Which process this is."""

import uuid
from dataclasses import dataclass, field

from paceline.v1 import model_pb2


@dataclass(frozen=True)
class Replica:
    """One process that serves: a stable name, and an incarnation that is new at every start."""

    replica_id: str
    incarnation: str = field(default_factory=lambda: uuid.uuid4().hex)

    def to_message(self) -> model_pb2.ReplicaInfo:
        """Return it as the message."""
        return model_pb2.ReplicaInfo(replica_id=self.replica_id, incarnation=self.incarnation)
