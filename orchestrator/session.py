"""A session as this process holds it while it generates."""

from dataclasses import dataclass

from orchestrator.round_trace import RoundTrace
from paceline.sampling.parameters import SamplingParameters


@dataclass
class Session:
    """Who it is, under which epoch we own it, and its ids, which only grow.

    `ids`, prompt and generated, may run ahead of Redis by the rounds that are being committed. `fork_of` is a session
    whose caches hold the beginning of this one; empty where there is none. `trace` has the spans of the round that
    runs; None where its trace is not recorded. `is_moving` says that a new epoch of ours is on its way to Redis, which
    may have it before we know.
    """

    session_id: str
    epoch: int
    sampling: SamplingParameters
    ids: list[int]
    fork_of: str = ""
    trace: RoundTrace | None = None
    is_moving: bool = False
