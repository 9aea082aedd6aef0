"""The draft's side of one session: it may fail, be late or be gone, and the rounds go on without it."""

import asyncio
import time
from dataclasses import dataclass

import structlog

from orchestrator.cache_view import CacheView
from orchestrator.circuit_breaker import CircuitBreaker
from orchestrator.draft_length import DraftLength
from orchestrator.errors import ReplicaUnavailableError, RoundFailedError
from orchestrator.pool import DraftPool, DraftReplica
from orchestrator.rounds import Proposal, ProposalRequest, Verdict
from orchestrator.session import Session
from orchestrator.session_record import CacheOwner
from paceline.errors import InvalidRequestError
from paceline.sampling.draft_distribution import DraftDistribution

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class NoProposal:
    """Why the target decodes a round alone, in the words of `num_degraded_rounds`."""

    reason: str


class SessionDraft:
    """One session on one draft replica at a time, until `close`.

    A request that is late is not cancelled: the rounds go on without the draft until it is answered, because asking
    again would begin its work, a long prompt for example, anew. After a failure the draft is left alone for a
    cool-down. When its replica is gone, another one takes over with all the ids.
    """

    def __init__(
        self,
        session: Session,
        pool: DraftPool,
        breaker: CircuitBreaker,
        patience_seconds: float,
        vocabulary_size: int,
    ) -> None:
        self._session = session
        self._pool = pool
        self._breaker = breaker
        self._patience_seconds = patience_seconds
        self._vocabulary_size = vocabulary_size
        self._replica: DraftReplica | None = None
        self._owner: CacheOwner | None = None
        self._running: asyncio.Task[Proposal | NoProposal] | None = None
        self._is_late = False
        self._reason = "NO_DRAFT_REPLICA"

    @property
    def owner(self) -> CacheOwner | None:
        """The process whose cache serves the session."""
        return self._owner

    def prefill(self, length: DraftLength) -> None:
        """Begin to bring the draft's cache to the prompt; returns at once."""
        if self.bind() is None:
            self._begin(0, length)

    async def propose(self, round_number: int, length: DraftLength) -> Proposal | NoProposal:
        """Return draft ids that may follow the session's, or why there are none, within the patience."""
        deadline = time.monotonic() + self._patience_seconds
        if self._running is not None and await self._ended_by(deadline) is None:
            return NoProposal("DRAFT_LATE")
        if (refusal := self.bind()) is not None:
            return refusal
        self._begin(round_number, length)
        return await self._ended_by(deadline) or NoProposal("DRAFT_LATE")

    def confirm(self, proposal: Proposal, verdict: Verdict) -> None:
        """Note what the target made of a proposal; call it before the session's ids grow."""
        num_accepted = min(verdict.num_accepted, len(proposal.draft_ids))
        self._cache.confirm(len(self._session.ids) + num_accepted)

    async def close(self) -> None:
        """Have the replica free the session's cache."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait([self._running])
        self._unbind()

    def bind(self) -> NoProposal | None:
        """See to it that a usable replica is there; returns why there is none, None if it is."""
        if self._breaker.is_open(time.monotonic()):
            return NoProposal(self._reason)
        replica = self._replica
        if replica is not None and replica.is_usable and self._is_same_process(replica):
            return None
        chosen = self._pool.choose()
        if chosen is None or chosen.description is None:
            return NoProposal(self._reason if replica is not None else self._pool.reason_for_none)
        self._unbind()
        self._replica, self._owner = chosen, chosen.description.owner
        self._cache = CacheView(self._session)
        chosen.num_sessions += 1
        return None

    def _is_same_process(self, replica: DraftReplica) -> bool:
        return replica.description is not None and replica.description.owner == self._owner

    def _unbind(self) -> None:
        if self._replica is not None:
            self._replica.num_sessions -= 1
            self._replica.release(self._session.session_id, self._session.epoch)
            self._replica = self._owner = None

    def _begin(self, round_number: int, length: DraftLength) -> None:
        assert self._replica is not None
        self._is_short = self._cache.known_length > 0
        self._running = asyncio.create_task(self._ask(self._replica, round_number, length))

    async def _ended_by(self, deadline: float) -> Proposal | NoProposal | None:
        """Return what came of the running request; None where it is late, and waited for once only."""
        running = self._running
        assert running is not None
        if not running.done():
            if not self._is_late:
                await asyncio.wait([running], timeout=deadline - time.monotonic())
            if not running.done():
                self._note_late()
                return None
        self._running, self._is_late = None, False
        return running.result()

    def _note_late(self) -> None:
        # A long prompt may take its time; one more round may not, so others had better not wait for it too.
        if not self._is_late and self._is_short and self._replica is not None:
            self._replica.breaker.fail(time.monotonic())
        self._is_late, self._reason = True, "DRAFT_LATE"

    async def _ask(
        self, replica: DraftReplica, round_number: int, length: DraftLength
    ) -> Proposal | NoProposal:
        num_ids = len(self._session.ids)
        try:
            proposal = await self._ask_again_if_forgotten(replica, round_number, length)
        except (ReplicaUnavailableError, RoundFailedError) as error:
            return self._failed(error.reason)
        if not self._is_valid(proposal, length):
            return self._failed("INVALID_PROPOSAL")
        self._cache.confirm(num_ids)
        self._breaker.succeed()
        replica.breaker.succeed()
        return proposal

    def _is_valid(self, proposal: Proposal, length: DraftLength) -> bool:
        """Whether the target can judge a proposal; one that it would refuse must cost no more than its round."""
        draft_ids, distributions = proposal.draft_ids, proposal.draft_distributions
        if len(draft_ids) > length.num_draft_tokens or max(draft_ids, default=0) >= self._vocabulary_size:
            return False
        if not distributions:
            return True
        try:
            for draft_id, encoded in zip(draft_ids, distributions, strict=True):
                DraftDistribution.decode(encoded, draft_id, self._vocabulary_size, "draft_distributions")
        except (InvalidRequestError, ValueError):
            return False
        return True

    async def _ask_again_if_forgotten(
        self, replica: DraftReplica, round_number: int, length: DraftLength
    ) -> Proposal:
        cache = self._cache
        try:
            return await replica.ask(ProposalRequest(cache.point(), round_number, *length))
        except RoundFailedError as error:
            if error.reason != "POSITION_MISMATCH":
                raise
            cache.forget()
            return await replica.ask(ProposalRequest(cache.point(), round_number, *length))

    def _failed(self, reason: str) -> NoProposal:
        _log.warning("draft_failed", session_id=self._session.session_id, reason=reason)
        self._reason = reason
        self._breaker.fail(time.monotonic())
        return NoProposal(reason)
