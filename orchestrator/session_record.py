"""A session as Redis holds it."""

from dataclasses import dataclass
from enum import StrEnum

from paceline.sampling.parameters import SamplingParameters


class SessionStatus(StrEnum):
    """Whether a session may still grow."""

    RUNNING = "running"
    FINISHED = "finished"
    CANCELLED = "cancelled"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class CacheOwner:
    """The process whose cache serves a session."""

    replica_id: str
    incarnation: str


@dataclass(frozen=True, slots=True)
class SessionOwners:
    """The owners of a session's caches; `draft` is None where the target decodes alone."""

    target: CacheOwner
    draft: CacheOwner | None


@dataclass(frozen=True, slots=True)
class NewSession:
    """What a session starts with; `digest` is that of the prompt ids."""

    session_id: str
    epoch: int
    model: str
    prompt_ids: tuple[int, ...]
    digest: bytes
    sampling: SamplingParameters
    owners: SessionOwners


@dataclass(frozen=True, slots=True)
class Commit:
    """Ids of one round, which follow the `position` ids before them; `digest` is that of all ids afterwards."""

    position: int
    ids: tuple[int, ...]
    digest: bytes
    status: SessionStatus


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """All of a session; `lease_deadline_ms` is Redis' own clock, 0 where the session has ended."""

    session_id: str
    epoch: int
    status: SessionStatus
    model: str
    ids: tuple[int, ...]
    num_prompt_ids: int
    digest: bytes
    sampling: SamplingParameters
    owners: SessionOwners
    lease_deadline_ms: int
