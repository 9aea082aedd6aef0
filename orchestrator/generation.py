"""A generation: the speculative rounds of one session. Start reading at `_run_rounds`.

Redis is beside the critical path: a round's commit travels while the next round is already proposed and verified,
and a chunk is let out to the client only when its commit is acknowledged. docs/rounds.md tells the whole story.
"""

import asyncio
import time
import uuid
from collections.abc import AsyncGenerator
from dataclasses import dataclass

import structlog

from orchestrator.circuit_breaker import CircuitBreaker
from orchestrator.commit_line import Acknowledgement, CommitLine
from orchestrator.config import OrchestratorConfig
from orchestrator.draft_length import RoundOutlook, fixed_draft_length
from orchestrator.generated_round import GeneratedRound
from orchestrator.generation_task import GenerationTask
from orchestrator.measurements import Measurements
from orchestrator.outbox import Outbox
from orchestrator.pool import DraftPool, TargetPool
from orchestrator.rounds import Proposal, Verdict
from orchestrator.session import Session
from orchestrator.session_draft import NoProposal, SessionDraft
from orchestrator.session_record import CacheOwner, Commit, NewSession, SessionOwners, SessionStatus
from orchestrator.session_store import SessionStore
from orchestrator.session_target import FailoverSettings, SessionTarget
from orchestrator.stopping import cut
from orchestrator.transcript import Transcript
from paceline.client.generation import FinishReason, GenerationEvent, GenerationStarted
from paceline.errors import PacelineError
from paceline.models.detokenizer import Detokenizer
from paceline.serving.session_point import PrefixDigester

_log = structlog.get_logger()


@dataclass(frozen=True)
class Surroundings:
    """What all generations of an orchestrator share."""

    config: OrchestratorConfig
    store: SessionStore
    targets: TargetPool
    drafts: DraftPool


class Generation:
    """One session from its prompt ids to its summary.

    `events` is what the client sees; `close` must follow it, however it ended.
    """

    def __init__(
        self,
        task: GenerationTask,
        surroundings: Surroundings,
        detokenizer: Detokenizer,
        measurements: Measurements,
    ) -> None:
        config = surroundings.config
        self._task = task
        self._config = config
        self._store = surroundings.store
        self._session = Session(uuid.uuid4().hex, 1, task.sampling, list(task.prompt_ids))
        self._draft = SessionDraft(
            self._session,
            surroundings.drafts,
            CircuitBreaker(config.draft_cool_down_seconds, config.max_draft_cool_down_seconds),
            config.draft_patience_seconds,
            task.vocabulary_size,
        )
        self._target = SessionTarget(
            self._session,
            surroundings.targets,
            FailoverSettings(
                config.target_deadline_seconds, config.failover_wait_seconds, config.max_failovers
            ),
            self._take_over,
        )
        self._digester = PrefixDigester()
        self._commits = CommitLine(self._commit_to_store, config.max_uncommitted_rounds)
        self._outbox: Outbox[GeneratedRound] = Outbox(config.max_unsent_rounds)
        self._transcript = Transcript(detokenizer)
        self._measurements = measurements
        self._round = 0
        self._finish_reason: FinishReason | None = None
        self._rounds: asyncio.Task[None] | None = None
        self._status_if_closed = SessionStatus.CANCELLED
        self._is_stored = False
        self._is_finished = False
        self._is_closed = False

    async def events(self) -> AsyncGenerator[GenerationEvent]:
        """Yield what the client gets; raises the error that ended the rounds, after all that was committed."""
        await self._create()
        session = self._session
        yield GenerationStarted(
            session.session_id, len(self._task.prompt_ids), self._task.model, session.sampling.seed
        )
        self._rounds = asyncio.create_task(self._run_rounds())
        self._rounds.add_done_callback(self._end_outbox)
        async for generated in self._outbox:
            self._measurements.note_sent()
            yield self._transcript.chunk(generated)
        assert self._finish_reason is not None
        num_prompt_tokens = len(self._task.prompt_ids)
        yield self._measurements.summary(
            self._finish_reason, num_prompt_tokens, len(session.ids) - num_prompt_tokens
        )

    async def close(self) -> None:
        """Stop the rounds, free the caches, and mark a session in Redis that has not finished; once is enough."""
        if self._is_closed:
            return
        self._is_closed = True
        if self._rounds is not None:
            self._rounds.cancel()
            await asyncio.wait([self._rounds])
        await self._draft.close()
        self._target.close()
        await self._commits.close()
        await self._mark_if_unfinished()

    async def _run_rounds(self) -> None:
        while self._finish_reason is None:
            proposal = await self._propose()
            verdict = await self._verify(proposal)
            generated = self._advance(proposal, verdict)
            acknowledged = await self._commit(generated)
            await self._emit(generated, acknowledged)

    async def _propose(self) -> Proposal | None:
        """Return draft ids that may come next; None where the target is to decode alone."""
        length = fixed_draft_length(self._outlook())
        if self._round == 0 and self._task.num_draft_tokens:
            self._draft.prefill(length)  # beside the target's
        if length.num_draft_tokens == 0:
            return None
        started_at = time.monotonic()
        outcome = await self._draft.propose(self._round, length)
        if isinstance(outcome, Proposal) and not outcome.draft_ids:
            outcome = NoProposal("EMPTY_PROPOSAL")
        self._measurements.note_proposal(time.monotonic() - started_at, outcome)
        return outcome if isinstance(outcome, Proposal) else None

    async def _verify(self, proposal: Proposal | None) -> Verdict:
        """Have the target choose what comes next, another replica of it if the first one goes away."""
        draft_ids = tuple(proposal.draft_ids) if proposal is not None else ()
        started_at = time.monotonic()
        verdict = await self._target.verify(self._round, draft_ids)
        self._measurements.note_verdict(time.monotonic() - started_at, len(draft_ids), verdict)
        return verdict

    def _advance(self, proposal: Proposal | None, verdict: Verdict) -> GeneratedRound:
        """Append what the verdict adds to the session, cut where the generation ends."""
        draft_ids = proposal.draft_ids if proposal is not None else ()
        if proposal is not None:
            self._draft.confirm(proposal, verdict)
        ids = self._session.ids
        chosen_ids = (*draft_ids[: verdict.num_accepted], *verdict.own_ids)
        kept_ids, self._finish_reason = cut(chosen_ids, len(ids), self._task.stop_rules)
        is_last = self._finish_reason is not None
        generated = GeneratedRound(
            self._round, len(ids), kept_ids, len(draft_ids), verdict.num_accepted, is_last
        )
        ids.extend(kept_ids)
        self._round += 1
        return generated

    async def _commit(self, generated: GeneratedRound) -> Acknowledgement:
        """Send a round on its way to Redis; waits only while too many are on it."""
        started_at = time.monotonic()
        status = SessionStatus.FINISHED if generated.is_last else SessionStatus.RUNNING
        digest = self._digester.digest(self._session.ids, len(self._session.ids))
        acknowledged = await self._commits.submit(
            Commit(generated.position, tuple(generated.ids), digest, status)
        )
        if generated.is_last:
            await asyncio.wait([acknowledged])
            self._is_finished = acknowledged.exception() is None
        self._measurements.note_commit(time.monotonic() - started_at)
        return acknowledged

    async def _emit(self, generated: GeneratedRound, acknowledged: Acknowledgement) -> None:
        """Hand a round to the client, to be sent when Redis has it; waits while the client is far behind."""
        await self._outbox.put(generated, acknowledged)

    async def _create(self) -> None:
        """Choose a target and make the session in Redis, before any replica hears of it."""
        target = self._target.bind()
        if self._task.num_draft_tokens:
            self._draft.bind()
        started_at = time.monotonic()
        await self._store.create(self._new_session(SessionOwners(target, self._draft.owner)))
        self._measurements.note_commit(time.monotonic() - started_at)
        self._is_stored = True

    def _new_session(self, owners: SessionOwners) -> NewSession:
        session = self._session
        return NewSession(
            session.session_id,
            session.epoch,
            self._task.model,
            self._task.prompt_ids,
            self._digester.digest(session.ids, len(session.ids)),
            session.sampling.temperature,
            session.sampling.seed,
            owners,
        )

    def _outlook(self) -> RoundOutlook:
        num_remaining = self._task.stop_rules.num_remaining(len(self._session.ids))
        return RoundOutlook(
            self._round, self._task.num_draft_tokens, num_remaining, self._config.max_ahead_tokens
        )

    async def _take_over(self, target: CacheOwner) -> None:
        """Make a process the target of the session, under a new epoch; what is on its way to Redis comes first."""
        await self._commits.drain()
        session, owners = self._session, SessionOwners(target, self._draft.owner)
        session.epoch = await self._store.acquire(session.session_id, session.epoch, owners)

    async def _commit_to_store(self, commit: Commit) -> None:
        await self._store.commit(self._session.session_id, self._session.epoch, commit)

    def _end_outbox(self, rounds: asyncio.Task[None]) -> None:
        error = None if rounds.cancelled() else rounds.exception()
        if error is not None:
            self._status_if_closed = SessionStatus.FAILED
        self._outbox.close(error)

    async def _mark_if_unfinished(self) -> None:
        if not self._is_stored or self._is_finished:
            return
        session = self._session
        try:
            await self._store.finish(session.session_id, session.epoch, self._status_if_closed)
        except PacelineError as error:
            _log.warning("session_not_marked", session_id=session.session_id, reason=error.reason)
