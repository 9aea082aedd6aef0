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
from orchestrator.rounds import Proposal, Verdict, VerifyRound
from orchestrator.session import Session
from orchestrator.session_record import CacheOwner

_log = structlog.get_logger()


@dataclass(frozen=True)
class FailoverSettings:
    """How long a target may be silent, how long to wait for another one, and how often that may happen."""

    deadline_seconds: float
    wait_seconds: float
    max_failovers: int


class SessionTarget:
    """One session on one target replica at a time, until `close`.

    `take_over` makes a process the session's owner under a new epoch, before a round is sent there.
    """

    def __init__(
        self,
        session: Session,
        pool: TargetPool,
        settings: FailoverSettings,
        take_over: Callable[[CacheOwner], Awaitable[None]],
    ) -> None:
        self._session = session
        self._pool = pool
        self._settings = settings
        self._take_over = take_over
        self._replica: TargetReplica | None = None
        self._num_failovers = 0

    @property
    def address(self) -> str | None:
        """The address of the replica, None before `bind`."""
        return self._replica.address if self._replica is not None else None

    def bind(self, preferred_address: str | None = None) -> CacheOwner:
        """Choose a replica, the preferred one if it is usable, and return its process; raises NoTargetReplicaError."""
        replica = self._pool.choose(preferred_address)
        if replica is None:
            raise NoTargetReplicaError("no target replica is ready; try again soon")
        assert replica.description is not None, "the pool chooses among ready replicas"
        self._bind_to(replica)
        return replica.description.owner

    async def verify(
        self, round_number: int, proposal: Proposal | None, *, with_prompt_logprobs: bool = False
    ) -> Verdict:
        """Return what the target chose after the session's ids; raises NoTargetReplicaError or RoundFailedError."""
        ask = partial(self._ask, round_number, proposal, with_prompt_logprobs)
        while True:
            try:
                verdict = await self._ask_again_if_forgotten(ask)
            except ReplicaUnavailableError as error:
                await self._fail_over(error)
            else:
                return self._confirmed(verdict, len(proposal.draft_ids) if proposal is not None else 0)

    def close(self) -> None:
        """Have the replica free the session's cache."""
        if self._replica is not None:
            self._replica.num_sessions -= 1
            self._replica.release(self._session.session_id, self._epoch)
            self._replica = None

    def _bind_to(self, replica: TargetReplica) -> None:
        self.close()
        self._replica = replica
        self._epoch = self._session.epoch
        self._cache = CacheView(self._session)
        replica.num_sessions += 1

    async def _ask_again_if_forgotten(self, ask: Callable[[], Awaitable[Verdict]]) -> Verdict:
        try:
            return await ask()
        except RoundFailedError as error:
            if error.reason != "POSITION_MISMATCH":
                raise
            self._cache.forget()
            return await ask()

    async def _ask(self, round_number: int, proposal: Proposal | None, with_prompt_logprobs: bool) -> Verdict:
        replica = self._replica
        assert replica is not None, "bind comes first"
        drafts = (proposal.draft_ids, proposal.draft_distributions) if proposal is not None else ((), ())
        round_ = VerifyRound(self._cache.point(), round_number, *drafts, with_prompt_logprobs)
        try:
            async with asyncio.timeout(self._settings.deadline_seconds):
                return await replica.ask(round_)
        except TimeoutError as error:
            replica.breaker.fail(time.monotonic())
            message = (
                f"the target at {replica.address} was silent for {self._settings.deadline_seconds} seconds"
            )
            raise ReplicaUnavailableError(message, address=replica.address) from error

    def _confirmed(self, verdict: Verdict, num_draft_ids: int) -> Verdict:
        if verdict.num_accepted > num_draft_ids or not verdict.own_ids:
            raise BrokenContractError(
                "the target's verdict does not fit its round", num_draft_ids=num_draft_ids
            )
        self._cache.confirm(len(self._session.ids) + verdict.num_accepted)
        return verdict

    async def _fail_over(self, cause: ReplicaUnavailableError) -> None:
        """Move the session under a new epoch, to another replica or to the same one when it is back."""
        _log.warning("target_gone", session_id=self._session.session_id, cause=cause.message)
        self._num_failovers += 1
        if self._num_failovers > self._settings.max_failovers:
            raise NoTargetReplicaError(f"the target went away too often; {cause.message}") from cause
        replica = await self._next_replica(cause)
        assert replica.description is not None, "the pool chooses among ready replicas"
        await self._take_over(replica.description.owner)
        self._bind_to(replica)

    async def _next_replica(self, cause: ReplicaUnavailableError) -> TargetReplica:
        try:
            async with asyncio.timeout(self._settings.wait_seconds):
                return await self._pool.wait_for_one()
        except TimeoutError:
            raise NoTargetReplicaError(f"no other target replica is ready; {cause.message}") from cause
