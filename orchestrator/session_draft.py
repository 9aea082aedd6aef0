"""The draft's side of one session: it may fail, be late or be gone, and the rounds go on without it."""

import asyncio
import math
import time
from dataclasses import dataclass

import structlog

from orchestrator.cache_view import CacheView
from orchestrator.circuit_breaker import CircuitBreaker
from orchestrator.draft_length import DraftLength
from orchestrator.errors import ReplicaUnavailableError, RoundFailedError
from orchestrator.pool import DraftPool, DraftReplica
from orchestrator.replica_pace import ReplicaPace
from orchestrator.room_search import NO_ROOM_REASONS
from orchestrator.rounds import Proposal, ProposalRequest, Verdict
from orchestrator.session import Session
from orchestrator.session_record import CacheOwner
from paceline.errors import InvalidRequestError
from paceline.sampling.draft_distribution import DraftDistribution

# A request with more ids that the draft's cache lacks takes longer than those that patience is measured by.
_MOST_SHORT_IDS = 16
# A timer may go off so much too early.
_TIMER_SECONDS = 0.001

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class NoProposal:
    """Why the target decodes a round alone, in the words of `num_degraded_rounds`."""

    reason: str


class SessionDraft:
    """One session on one draft replica at a time, until `close`.

    A request that is late is not cancelled: the rounds go on without the draft until it is answered, because asking
    again would begin its work, a long prompt for example, anew. After a refusal the session leaves its draft alone for
    a cool-down; a replica that talks nonsense or shows no life is left alone by all sessions. When its replica is not
    usable, another one takes over with all the ids.

    `patience_seconds` is the longest that a round waits; where the replica's answers have been measured, a round waits
    no longer than some times what they take.
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
        self._asked_at = 0.0
        self._blamed_at = math.inf  # when the running request is later than a draft may be
        self._is_short = False
        self._is_late = False
        self._reason = "NO_DRAFT_REPLICA"
        self._last_logged_reason = ""

    @property
    def owner(self) -> CacheOwner | None:
        """The process whose cache serves the session."""
        return self._owner

    def prefill(self, length: DraftLength) -> None:
        """Begin to bring the draft's cache to the prompt; returns at once."""
        if self.bind() is None:
            self._begin(0, length, time.monotonic() + self._patience_seconds)

    @property
    def address(self) -> str | None:
        """The address of the replica, None where there is none."""
        return self._replica.address if self._replica is not None else None

    @property
    def pace(self) -> ReplicaPace | None:
        """How fast the replica is, None where there is none."""
        return self._replica.pace if self._replica is not None else None

    @property
    def lag(self) -> int | None:
        """Ids of the session that the replica's cache is not known to hold; None while a request is unanswered."""
        if self._running is not None and not self._running.done():
            return None
        return len(self._session.ids) - (self._cache.known_length if self._replica is not None else 0)

    def refresh(self, round_number: int, length: DraftLength) -> NoProposal:
        """Have the draft bring its cache to the session, and go on from there; returns at once.

        Returns why there is no proposal: DRAFT_LATE where one will soon be possible.
        """
        if self._running is not None:
            self._abandon_if_another_can_take_over()
        if self._running is not None and not self._running.done():
            self._note_late()
            return NoProposal("DRAFT_LATE")
        self._running, self._is_late = None, False
        if (refusal := self.bind()) is not None:
            return refusal
        length = length._replace(num_draft_tokens=0, num_awaited_tokens=0)
        self._begin(round_number, length, time.monotonic() + self._patience_seconds)
        return NoProposal("DRAFT_LATE")

    async def propose(
        self, round_number: int, length: DraftLength, longest_wait_seconds: float | None = None
    ) -> Proposal | NoProposal:
        """Return draft ids that may follow the session's, or why there are none, within the patience.

        `longest_wait_seconds` is how long the proposal is worth waiting for; a draft that is later than that, and not
        than the patience, is not blamed for it.
        """
        patience = self._patience(length)
        wait = patience if longest_wait_seconds is None else min(patience, longest_wait_seconds)
        begun_at = time.monotonic()
        deadline = begun_at + wait
        if self._running is not None and self._is_late:
            self._abandon_if_another_can_take_over()
        if self._running is not None and await self._ended_by(deadline) is None:
            return NoProposal("DRAFT_LATE")
        if (refusal := self.bind()) is not None:
            return refusal
        self._begin(round_number, length, begun_at + patience)
        return await self._ended_by(deadline) or NoProposal("DRAFT_LATE")

    def confirm(self, proposal: Proposal, verdict: Verdict) -> None:
        """Note what the target made of a proposal; call it before the session's ids grow."""
        num_accepted = min(verdict.num_accepted, len(proposal.draft_ids))
        self._cache.confirm(len(self._session.ids) + num_accepted)

    async def close(self, *, keeps_cache: bool = False) -> None:
        """Leave the replica, and have it free the session's cache unless the session may soon go on."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait([self._running])
        self._unbind(keeps_cache=keeps_cache)

    def bind(self, *, preferred_replica_id: str | None = None) -> NoProposal | None:
        """See to it that a usable replica is there; returns why there is none, None if it is."""
        now = time.monotonic()
        if self._breaker.is_open(now):
            return NoProposal(self._reason)
        replica = self._replica
        if replica is not None and replica.is_usable and self._is_same_process(replica):
            replica.breaker.begin(now)
            return None
        chosen = self._pool.choose(preferred_replica_id=preferred_replica_id, ids=self._session.ids)
        if chosen is None or chosen.description is None:
            return NoProposal(self._reason if replica is not None else self._pool.reason_for_none)
        self._bind_to(chosen, chosen.description.owner)
        return None

    def _is_same_process(self, replica: DraftReplica) -> bool:
        return replica.description is not None and replica.description.owner == self._owner

    def _bind_to(self, replica: DraftReplica, owner: CacheOwner) -> None:
        self._unbind()
        self._replica, self._owner = replica, owner
        self._cache = CacheView(self._session)
        replica.num_sessions += 1

    def _unbind(self, *, keeps_cache: bool = False) -> None:
        if self._replica is not None:
            self._replica.num_sessions -= 1
            if not keeps_cache:
                self._replica.release(self._session.session_id, self._session.epoch)
            self._replica = self._owner = None

    def _patience(self, length: DraftLength) -> float:
        if self._replica is None:
            return self._patience_seconds
        num_steps = length.num_awaited_tokens + 1  # one of them for the ids that the target chose
        return self._replica.clock.patience_seconds(num_steps, self._patience_seconds)

    def _begin(self, round_number: int, length: DraftLength, blamed_at: float) -> None:
        assert self._replica is not None
        num_missing = len(self._session.ids) - self._cache.known_length
        self._is_short = self._cache.known_length > 0 and num_missing <= _MOST_SHORT_IDS
        self._asked_at, self._blamed_at = time.monotonic(), blamed_at
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
        self._is_late, self._reason = True, "DRAFT_LATE"
        replica, now = self._replica, time.monotonic()
        if replica is None or now < self._blamed_at - _TIMER_SECONDS:
            return
        self._blamed_at = math.inf
        # One that was heard meanwhile has much to do; others had better not wait for one that was silent.
        if self._is_short and replica.pulse.heard_at < self._asked_at:
            replica.breaker.fail(now)

    def _abandon_if_another_can_take_over(self) -> None:
        """Wait no more for a replica that all sessions leave alone, if there is another one."""
        running, replica = self._running, self._replica
        assert running is not None
        if running.done() or replica is None or replica.is_usable:
            return
        other = self._pool.choose(ids=self._session.ids, avoid=(replica.address,))
        if other is not None and other.description is not None:
            running.cancel()
            self._running, self._is_late = None, False
            self._bind_to(other, other.description.owner)

    async def _ask(
        self, replica: DraftReplica, round_number: int, length: DraftLength
    ) -> Proposal | NoProposal:
        num_ids = len(self._session.ids)
        try:
            proposal = await self._ask_again_if_forgotten(replica, round_number, length)
        except ReplicaUnavailableError as error:
            return self._failed(error.reason, is_refusal=error.reason == "SUPERSEDED")
        except RoundFailedError as error:
            return self._failed(error.reason, is_refusal=True)
        if not self._is_valid(proposal, length):
            replica.breaker.fail(time.monotonic())
            return self._failed("INVALID_PROPOSAL", is_refusal=False)
        self._cache.confirm(num_ids)
        self._note_answer(replica, proposal)
        return proposal

    def _note_answer(self, replica: DraftReplica, proposal: Proposal) -> None:
        self._breaker.succeed()
        if not proposal.draft_ids:
            return  # it filled its cache, which says nothing of its proposals
        replica.breaker.succeed()
        if self._is_short:
            num_steps = 1 + len(proposal.draft_ids) - proposal.num_ahead_tokens
            elapsed = time.monotonic() - self._asked_at
            replica.clock.note(num_steps, elapsed)
            replica.pace.proposals.note(elapsed, proposal.timing)

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
            return await replica.ask(self._request(cache, round_number, length))
        except RoundFailedError as error:
            if error.reason != "POSITION_MISMATCH":
                raise
            cache.forget()
            self._is_short = False
            return await replica.ask(self._request(cache, round_number, length))

    def _request(self, cache: CacheView, round_number: int, length: DraftLength) -> ProposalRequest:
        trace = self._session.trace
        # What only fills the cache runs beside the round, which does not wait for it.
        span = (trace.propose if length.num_draft_tokens else trace.round) if trace is not None else None
        return ProposalRequest(cache.point(), round_number, *length, span)

    def _failed(self, reason: str, *, is_refusal: bool) -> NoProposal:
        """Note that there is no proposal; after a refusal this session asks no draft for a while."""
        if reason not in NO_ROOM_REASONS and reason != self._last_logged_reason:
            _log.warning("draft_failed", session_id=self._session.session_id, reason=reason)
            self._last_logged_reason = reason
        self._reason = reason
        if is_refusal:
            self._breaker.fail(time.monotonic())
        return NoProposal(reason)
