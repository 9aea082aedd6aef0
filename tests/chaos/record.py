"""What clients saw, counted."""

from collections import Counter
from dataclasses import dataclass, field

from paceline.v1 import orchestrator_service_pb2 as pb


@dataclass
class Record:
    """Everything that clients report.

    Attributes:
        pauses: Seconds from the last event before a break until the next token, for each break.
        waits: Seconds of the longest wait for an event of each finished stream, its breaks included; times that
            a client itself was away or did not read do not count.
        breaks: Streams that ended early, by the reason that the client was given.
        wrong: What must not have been.
        recoveries: What orchestrators say of failovers that clients noticed at most as a pause.
        session_ids: Every session that a client has heard of.
    """

    num_finished: int = 0
    num_finished_by_shipped_clients: int = 0
    num_tokens: int = 0
    num_resumes: int = 0
    num_restarts: int = 0
    pauses: list[float] = field(default_factory=list[float])
    waits: list[float] = field(default_factory=list[float])
    breaks: Counter[str] = field(default_factory=Counter[str])
    wrong: list[str] = field(default_factory=list[str])
    recoveries: list[pb.RecoverySummary] = field(default_factory=list[pb.RecoverySummary])
    degraded: Counter[str] = field(default_factory=Counter[str])
    session_ids: set[str] = field(default_factory=set[str])
