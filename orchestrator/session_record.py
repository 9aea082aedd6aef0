"""A session as Redis holds it."""

from dataclasses import dataclass

from orchestrator.start import CommittedPoint
from paceline.client.session_status import SessionStatus
from paceline.sampling.parameters import SamplingParameters


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
    """What a session starts with.

    Attributes:
        session_id: The session; no other may have had the name.
        epoch: Its first epoch.
        model: The model that answers.
        prompt_ids: Its prompt.
        digest: Digest of all its ids.
        sampling: How tokens are chosen.
        owners: The owners of its caches.
        committed_ids: What follows the prompt already, where it is a fork of another session.
        task: How the generation goes on, as JSON; the store does not read it.
        orchestrator: The process that holds the lease.
        tenant: Whose it is; empty where callers are not told apart.
    """

    session_id: str
    epoch: int
    model: str
    prompt_ids: tuple[int, ...]
    digest: bytes
    sampling: SamplingParameters
    owners: SessionOwners
    committed_ids: tuple[int, ...] = ()
    task: str = "{}"
    orchestrator: str = ""
    tenant: str = ""


@dataclass(frozen=True, slots=True)
class Commit:
    """Ids of one round, which follow the `position` ids before them; `digest` is that of all ids afterwards."""

    position: int
    ids: tuple[int, ...]
    digest: bytes
    status: SessionStatus


@dataclass(frozen=True, slots=True)
class TakeOver:
    """How a session gets a new owner, or goes on elsewhere: after a resume, a failover, a rewind.

    Attributes:
        expected: What the session must still be at.
        new_epoch: Higher than every epoch that the caller knows of; `SessionStore.next_epoch` proposes it.
        keep_position: How many of its ids stay, at most as many as there are.
        ids: Ids that follow those.
        digest: Digest of all ids afterwards.
        owners: The owners of the caches from now on.
        orchestrator: The process that holds the lease from now on.
        num_prompt_ids: How many ids are prompt from now on; None leaves the number, or all ids where fewer are left.
        sampling: New sampling parameters; None leaves those that the session has.
        task: A new task; None leaves the one that the session has.
    """

    expected: CommittedPoint
    new_epoch: int
    keep_position: int
    ids: tuple[int, ...]
    digest: bytes
    owners: SessionOwners
    orchestrator: str
    num_prompt_ids: int | None = None
    sampling: SamplingParameters | None = None
    task: str | None = None

    def __post_init__(self) -> None:
        assert self.new_epoch > self.expected.epoch
        assert 0 <= self.keep_position <= self.expected.position


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """All of a session.

    Attributes:
        session_id: The session.
        epoch: The epoch of its owner.
        status: Whether it may still grow.
        model: The model that answers.
        ids: Prompt and committed ids.
        num_prompt_ids: How many of them are prompt.
        digest: Digest of all ids.
        sampling: How tokens are chosen.
        owners: The owners of its caches.
        lease_deadline_ms: Until when it is its owner's, by Redis' clock; 0 where it does not run.
        task: How the generation goes on, as JSON.
        orchestrator: The process that holds, or last held, the lease.
        updated_ms: When it last changed, by Redis' clock.
        tenant: Whose it is; empty where callers were not told apart when it began.
    """

    session_id: str
    epoch: int
    status: SessionStatus
    model: str
    ids: tuple[int, ...]
    num_prompt_ids: int
    digest: bytes
    sampling: SamplingParameters
    owners: SessionOwners
    lease_deadline_ms: int = 0
    task: str = "{}"
    orchestrator: str = ""
    updated_ms: int = 0
    tenant: str = ""


@dataclass(frozen=True, slots=True)
class SessionOverview:
    """What an operator sees of a session: everything but ids and task; times by Redis' clock.

    Attributes:
        session_id: The session.
        status: Whether it may still grow.
        model: The model that answers.
        epoch: The epoch of its owner.
        position: Number of its ids.
        num_prompt_ids: How many of them are prompt.
        digest: Digest of all ids.
        owners: The owners of its caches.
        orchestrator: The process that holds, or last held, the lease.
        lease_seconds: Seconds until the lease ends, negative where it has run out; None where the session does not run.
        idle_seconds: Seconds since the last change.
        ttl_seconds: Seconds until Redis forgets the session.
        sampling_json: The sampling parameters as JSON.
        tenant: Whose it is; empty where callers were not told apart when it began.
    """

    session_id: str
    status: SessionStatus
    model: str
    epoch: int
    position: int
    num_prompt_ids: int
    digest: bytes
    owners: SessionOwners
    orchestrator: str
    lease_seconds: float | None
    idle_seconds: float
    ttl_seconds: float
    sampling_json: str
    tenant: str = ""


@dataclass(frozen=True, slots=True)
class SessionListing:
    """Sessions, the latest change first, and how many were found, those that are not among them included."""

    sessions: tuple[SessionOverview, ...]
    num_found: int
