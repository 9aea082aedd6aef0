"""The target's side of one session: it has to answer, on another replica if one goes away."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

import structlog

from orchestrator.cache_view import CacheView
from orchestrator.errors import (
    BrokenContractError,
    NoTargetReplicaError,
    ReplicaUnavailableError,
    RoundFailedError,
)
from orchestrator.pool import TargetPool, TargetReplica
from orchestrator.recovery import Recovery
from orchestrator.replica_pace import ReplicaPace
from orchestrator.room_search import NO_ROOM_REASONS, RoomSearch, can_never_fit
from orchestrator.rounds import Proposal, Verdict, VerifyRound
from orchestrator.session import Session
from orchestrator.session_record import CacheOwner

_log = structlog.get_logger()


@dataclass(frozen=True)
class FailoverSettings:
    """What a session bears of its targets.

    Attributes:
        deadline_seconds: How long a target that shows no progress may leave a round unanswered.
        wait_seconds: How long to wait for a target when one is gone.
        max_failovers: How often one may be gone; those that drain do not count.
        admission_wait_seconds: How long a round that no target has room for is asked again.
    """

    deadline_seconds: float
    wait_seconds: float
    max_failovers: int
    admission_wait_seconds: float = 30.0


class SessionTarget:
    """One session on one target replica at a time, until `close`.

    `take_over` makes a process the session's owner under a new epoch, before a round is sent there.

    Attributes:
        recovery: What was lost on the way and what making it good took.
    """

    def __init__(
        self,
        session: Session,
        pool: TargetPool,
        settings: FailoverSettings,
        take_over: Callable[[CacheOwner], Awaitable[None]],
    ) -> None:
        self.recovery = Recovery()
        self._session = session
        self._pool = pool
        self._settings = settings
        self._take_over = take_over
        self._replica: TargetReplica | None = None
        self._num_failovers = 0
        self._num_lost_ids = 0  # that a cache held which is gone
        self._moved_at: float | None = None  # until the first verdict after that
        self._asked_at = 0.0

    @property
    def address(self) -> str | None:
        """The address of the replica, None before `bind`."""
        return self._replica.address if self._replica is not None else None

    @property
    def pace(self) -> ReplicaPace:
        """How fast the replica is; call it after `bind`."""
        assert self._replica is not None, "bind comes first"
        return self._replica.pace

    @property
    def num_sessions(self) -> int:
        """Sessions of this orchestrator at the replica, this one included."""
        return self._replica.num_sessions if self._replica is not None else 0

    @property
    def owner(self) -> CacheOwner:
        """The process whose cache serves the session; call it after `bind`."""
        return self._owner

    def bind(
        self, preferred_address: str | None = None, *, preferred_replica_id: str | None = None
    ) -> CacheOwner:
        """Choose a replica and return its process; raises NoTargetReplicaError.

        That is the one at the preferred address if it is usable, else the one with the preferred id or one that has
        computed the session's first ids before, unless it has too much to do.
        """
        replica = self._pool.choose(
            preferred_address, preferred_replica_id=preferred_replica_id, ids=self._session.ids
        )
        if replica is None:
            raise NoTargetReplicaError("no target replica is ready; try again soon")
        self._bind_to(replica, _owner_of(replica))
        return self._owner

    async def verify(
        self, round_number: int, proposal: Proposal | None, *, with_prompt_logprobs: bool = False
    ) -> Verdict:
        """Return what the target chose after the session's ids; raises NoTargetReplicaError or RoundFailedError."""
        ask = partial(self._ask, round_number, proposal, with_prompt_logprobs)
        search: RoomSearch | None = None
        while True:
            try:
                verdict = await self._ask_again_if_forgotten(ask)
            except ReplicaUnavailableError as error:
                await self._fail_over(error)
            except RoundFailedError as error:
                if error.reason not in NO_ROOM_REASONS:
                    raise
                search = search or RoomSearch(time.monotonic() + self._settings.admission_wait_seconds)
                await self._look_for_room(search, error)
            else:
                return self._confirmed(verdict, len(proposal.draft_ids) if proposal is not None else 0)

    def close(self, *, keeps_cache: bool = False) -> None:
        """Leave the replica, and have it free the session's cache unless the session may soon go on."""
        if self._replica is None:
            return
        if self._cache.known_length:
            self._pool.remember(self._session.ids, self._owner)
        self._leave(keeps_cache=keeps_cache)

    def _leave(self, *, keeps_cache: bool = False) -> None:
        if self._replica is not None:
            self._replica.num_sessions -= 1
            if not keeps_cache:
                self._replica.release(self._session.session_id, self._epoch)
            self._replica = None

    def _bind_to(self, replica: TargetReplica, owner: CacheOwner) -> None:
        self._leave()
        self._replica, self._owner = replica, owner
        self._epoch = self._session.epoch
        self._cache = CacheView(self._session)
        replica.num_sessions += 1

    async def _ask_again_if_forgotten(self, ask: Callable[[], Awaitable[Verdict]]) -> Verdict:
        try:
            return await ask()
        except RoundFailedError as error:
            if error.reason != "POSITION_MISMATCH":
                raise
            self._note_lost_cache()
            self._cache.forget()
            return await ask()

    async def _ask(self, round_number: int, proposal: Proposal | None, with_prompt_logprobs: bool) -> Verdict:
        replica = self._replica
        assert replica is not None, "bind comes first"
        drafts = (proposal.draft_ids, proposal.draft_distributions) if proposal is not None else ((), ())
        point = self._cache.point()
        trace = self._session.trace.verify if self._session.trace is not None else None
        round_ = VerifyRound(point, round_number, *drafts, with_prompt_logprobs, trace)
        self._asked_at, self._epoch = time.monotonic(), self._session.epoch
        self._check_process(replica)
        return await replica.ask(round_, self._settings.deadline_seconds)

    def _check_process(self, replica: TargetReplica) -> None:
        """Raise ReplicaUnavailableError where another process than the session's answers at the address."""
        if replica.description is not None and replica.description.owner != self._owner:
            message = f"the process at {replica.address} has been replaced by another one"
            raise ReplicaUnavailableError("CONNECTION_LOST", message, address=replica.address)

    def _confirmed(self, verdict: Verdict, num_draft_ids: int) -> Verdict:
        if verdict.num_accepted > num_draft_ids or not verdict.own_ids:
            raise BrokenContractError(
                "the target's verdict does not fit its round", num_draft_ids=num_draft_ids
            )
        assert self._replica is not None
        self._replica.breaker.succeed()
        if self._cache.known_length == 0:
            self._pool.remember(self._session.ids, self._owner)
        self._note_rebuilt(verdict)
        self._cache.confirm(len(self._session.ids) + verdict.num_accepted)
        return verdict

    def _note_lost_cache(self) -> None:
        self._num_lost_ids = max(self._num_lost_ids, self._cache.known_length)

    def _note_rebuilt(self, verdict: Verdict) -> None:
        if self._moved_at is None and self._num_lost_ids == 0:
            return
        seconds = time.monotonic() - self._moved_at if self._moved_at is not None else 0.0
        num_rebuilt = max(0, self._num_lost_ids - verdict.timing.num_cached_tokens)
        self.recovery.note_rebuilt(seconds, num_rebuilt)
        self._moved_at, self._num_lost_ids = None, 0

    async def _fail_over(self, cause: ReplicaUnavailableError) -> None:
        """Move the session under a new epoch, to another replica or to the same one when it is back."""
        session_id = self._session.session_id
        _log.warning("target_gone", session_id=session_id, reason=cause.reason, cause=cause.message)
        noticed_at = time.monotonic()
        self._count_failover(cause)
        detection_seconds = max(0.0, noticed_at - self._last_sign_at())
        replica = await self._next_replica(cause)
        await self._move_to(replica)
        self.recovery.note_move(cause.reason, detection_seconds, time.monotonic() - noticed_at)

    def _count_failover(self, cause: ReplicaUnavailableError) -> None:
        if cause.reason != "DRAINING":
            self._num_failovers += 1
        if self._num_failovers > self._settings.max_failovers:
            raise NoTargetReplicaError(f"the target went away too often; {cause.message}") from cause

    def _last_sign_at(self) -> float:
        assert self._replica is not None
        return max(self._asked_at, self._replica.pulse.heard_at)

    async def _next_replica(self, cause: ReplicaUnavailableError) -> TargetReplica:
        # A replica that has let go of this session only is as good as any.
        avoid = () if cause.reason == "SUPERSEDED" or self._replica is None else (self._replica.address,)
        try:
            async with asyncio.timeout(self._settings.wait_seconds):
                return await self._pool.wait_for_one(ids=self._session.ids, avoid=avoid)
        except TimeoutError:
            raise NoTargetReplicaError(f"no other target replica is ready; {cause.message}") from cause

    async def _move_to(self, replica: TargetReplica) -> None:
        owner = _owner_of(replica)
        self._note_lost_cache()
        await self._take_over(owner)
        self._bind_to(replica, owner)
        self._moved_at = time.monotonic()

    async def _look_for_room(self, search: RoomSearch, refusal: RoundFailedError) -> None:
        """Move to a target that has not refused the round, else wait; raises the refusal when that is too late."""
        assert self._replica is not None
        refused_at = time.monotonic()
        search.refused.add(self._replica.address)
        other = self._pool.choose(ids=self._session.ids, avoid=search.refused)
        if other is not None:
            await self._move_to(other)
            self.recovery.note_move(refusal.reason, 0.0, time.monotonic() - refused_at)
            return
        pause = search.pause_seconds(refused_at) if not can_never_fit(refusal) else None
        if pause is None:
            raise refusal
        _log.debug("target_full", session_id=self._session.session_id, reason=refusal.reason, seconds=pause)
        await asyncio.sleep(pause)


def _owner_of(replica: TargetReplica) -> CacheOwner:
    assert replica.description is not None, "the pool chooses among ready replicas"
    return replica.description.owner
