"""Whether a session may still grow: in Redis, on the wire and for operators."""

from enum import StrEnum

from paceline.v1 import session_service_pb2 as pb


class SessionStatus(StrEnum):
    """Whether a session may still grow.

    RUNNING: rounds run or, where the lease has run out, its owner is gone and it can be resumed. SUSPENDED: its
    client or its orchestrator has gone; it can be resumed. FINISHED: it has come to its end; another turn can continue
    it. FAILED: an error ended it; it can be resumed. CANCELLED: an operator has ended it; nothing continues it.
    """

    RUNNING = "running"
    FINISHED = "finished"
    CANCELLED = "cancelled"
    FAILED = "failed"
    SUSPENDED = "suspended"


MESSAGE_OF_STATUS = {
    SessionStatus.RUNNING: pb.SESSION_STATUS_RUNNING,
    SessionStatus.FINISHED: pb.SESSION_STATUS_FINISHED,
    SessionStatus.CANCELLED: pb.SESSION_STATUS_CANCELLED,
    SessionStatus.FAILED: pb.SESSION_STATUS_FAILED,
    SessionStatus.SUSPENDED: pb.SESSION_STATUS_SUSPENDED,
}
STATUS_OF_MESSAGE = {message: status for status, message in MESSAGE_OF_STATUS.items()}
