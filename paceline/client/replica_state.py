"""Whether an orchestrator sends sessions to a replica: at the orchestrator, on the wire and for operators."""

from enum import StrEnum

from paceline.v1 import status_service_pb2 as pb


class ReplicaState(StrEnum):
    """Whether an orchestrator sends sessions to a replica.

    READY: it does. RESTING: the replica is connected and left alone for a cool-down. DRAINING: it ends what it has and
    takes no session again. REFUSED: it answers and cannot be used. GONE: nothing answers there, or what does is not
    ready. UNKNOWN: a newer orchestrator has another word for it.
    """

    READY = "ready"
    RESTING = "resting"
    DRAINING = "draining"
    REFUSED = "refused"
    GONE = "gone"
    UNKNOWN = "unknown"


MESSAGE_OF_STATE = {
    ReplicaState.READY: pb.REPLICA_STATE_READY,
    ReplicaState.RESTING: pb.REPLICA_STATE_RESTING,
    ReplicaState.DRAINING: pb.REPLICA_STATE_DRAINING,
    ReplicaState.REFUSED: pb.REPLICA_STATE_REFUSED,
    ReplicaState.GONE: pb.REPLICA_STATE_GONE,
}
STATE_OF_MESSAGE = {message: state for state, message in MESSAGE_OF_STATE.items()}
