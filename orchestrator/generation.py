"""A generation: the speculative rounds of one session. Start reading at `_run_rounds`.

Redis is beside the critical path: a round's commit travels while the next round is already proposed and verified,
and a chunk is let out to the client only when its commit is acknowledged. docs/rounds.md tells the whole story.
"""

import asyncio
import time
import uuid
from collections.abc import AsyncGenerator
from dataclasses import dataclass, replace

import structlog

from orchestrator.circuit_breaker import CircuitBreaker
from orchestrator.commit_line import Acknowledgement, CommitLine
from orchestrator.config import OrchestratorConfig
from orchestrator.draft_length import DraftLength
from orchestrator.draft_planner import DraftPlanner
from orchestrator.generated_round import GeneratedRound
from orchestrator.generation_task import GenerationTask
from orchestrator.measurements import Measurements
from orchestrator.outbox import Outbox
from orchestrator.pool import DraftPool, TargetPool
from orchestrator.prompt_lookup import PromptLookup
from orchestrator.rounds import Proposal, RoundTiming, Verdict
from orchestrator.session import Session
from orchestrator.session_draft import NoProposal, SessionDraft
from orchestrator.session_record import CacheOwner, Commit, NewSession, SessionOwners, SessionStatus
from orchestrator.session_store import SessionStore
from orchestrator.session_target import FailoverSettings, SessionTarget
from orchestrator.stopping import Finish, cut
from orchestrator.transcript import Transcript, echo_chunk
from paceline.client.generation import Drafter, FinishReason, GenerationEvent, GenerationStarted, TokenChunk
from paceline.errors import PacelineError
from paceline.models.tokenizer import Tokenizer
from paceline.serving.session_point import PrefixDigester

_NO_TIME = RoundTiming(0.0, 0.0, 0)

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
        tokenizer: Tokenizer,
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
        self._outbox: Outbox[TokenChunk] = Outbox(config.max_unsent_rounds)
        self._tokenizer = tokenizer
        self._transcript = Transcript(tokenizer, task.stop_texts, len(task.prompt_ids))
        self._planner = DraftPlanner(task.speculation, config.max_ahead_tokens)
        self._lookup = PromptLookup()
        self._measurements = measurements
        self._round = 0
        self._round_started_at = 0.0
        self._finish: Finish | None = None
        self._rounds: asyncio.Task[None] | None = None
        self._status_if_closed = SessionStatus.CANCELLED
        self._preferred_target: str | None = None
        self._is_stored = False
        self._is_finished = False
        self._is_closed = False

    @property
    def target_address(self) -> str | None:
        """Where the target replica is that serves the session now."""
        return self._target.address

    def prefer_target(self, address: str | None) -> None:
        """Have the session begin at this target replica if it can be used then: it holds the prompt already."""
        self._preferred_target = address

    async def events(self) -> AsyncGenerator[GenerationEvent]:
        """Yield what the client gets; raises the error that ended the rounds, after all that was committed."""
        await self._create()
        session = self._session
        yield GenerationStarted(
            session.session_id, len(self._task.prompt_ids), self._task.model, session.sampling.seed
        )
        self._rounds = asyncio.create_task(self._run_rounds())
        self._rounds.add_done_callback(self._end_outbox)
        async for chunk in self._outbox:
            self._measurements.note_sent()
            yield chunk
        assert self._finish is not None
        num_prompt_tokens = len(self._task.prompt_ids)
        yield self._measurements.summary(
            self._finish, num_prompt_tokens, len(session.ids) - num_prompt_tokens
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
        while self._finish is None:
            proposal = await self._propose()
            verdict = await self._verify(proposal)
            generated = self._advance(proposal, verdict)
            acknowledged = await self._commit(generated)
            await self._emit(generated, verdict, acknowledged)

    async def _propose(self) -> Proposal | None:
        """Return draft ids that may come next; None where the target is to decode alone."""
        self._round_started_at = time.monotonic()
        length = self._planner.next_length(
            self._round, self._task.stop_rules.num_remaining(len(self._session.ids))
        )
        is_drafted_by_model = self._task.speculation.drafter is Drafter.MODEL
        if self._round == 0 and is_drafted_by_model:
            self._draft.prefill(length)  # beside the target's
        proposal = None
        if length.num_draft_tokens:
            proposal = await self._propose_by_model(length) if is_drafted_by_model else None
            proposal = proposal or self._look_up(length.num_draft_tokens)
        self._measurements.note_drafter(length.num_draft_tokens, proposal)
        return proposal

    async def _propose_by_model(self, length: DraftLength) -> Proposal | None:
        outcome = await self._draft.propose(self._round, length)
        if isinstance(outcome, Proposal) and not outcome.draft_ids:
            outcome = NoProposal("EMPTY_PROPOSAL")
        self._measurements.note_proposal(time.monotonic() - self._round_started_at, outcome)
        return outcome if isinstance(outcome, Proposal) else None

    def _look_up(self, num_draft_tokens: int) -> Proposal | None:
        draft_ids = self._lookup.propose(self._session.ids, num_draft_tokens)
        return Proposal(draft_ids, 0, _NO_TIME, drafter=Drafter.PROMPT_LOOKUP) if draft_ids else None

    async def _verify(self, proposal: Proposal | None) -> Verdict:
        """Have the target choose what comes next, another replica of it if the first one goes away."""
        num_draft_ids = len(proposal.draft_ids) if proposal is not None else 0
        started_at = time.monotonic()
        verdict = await self._target.verify(
            self._round, proposal, with_prompt_logprobs=self._needs_prompt_logprobs
        )
        ended_at = time.monotonic()
        self._measurements.note_verdict(ended_at - started_at, num_draft_ids, verdict)
        if self._round > 0:
            self._planner.note(num_draft_ids, verdict.num_accepted, ended_at - self._round_started_at)
        return verdict

    @property
    def _needs_prompt_logprobs(self) -> bool:
        return self._round == 0 and self._task.echo and self._task.sampling.num_logprobs is not None

    def _advance(self, proposal: Proposal | None, verdict: Verdict) -> GeneratedRound:
        """Append what the verdict adds to the session, cut where the generation ends."""
        draft_ids = proposal.draft_ids if proposal is not None else ()
        if proposal is not None and proposal.drafter is Drafter.MODEL:
            self._draft.confirm(proposal, verdict)
        ids = self._session.ids
        chosen_ids = (*draft_ids[: verdict.num_accepted], *verdict.own_ids)
        ending = cut(chosen_ids, len(ids), self._task.stop_rules)
        generated = GeneratedRound(
            self._round, len(ids), ending.kept_ids, len(draft_ids), verdict.num_accepted, ending.finish
        )
        generated = self._write_down(generated, verdict)
        self._finish = generated.finish
        ids.extend(generated.ids)
        self._round += 1
        return generated

    def _write_down(self, generated: GeneratedRound, verdict: Verdict) -> GeneratedRound:
        """Add a round to the transcript, and cut it after the id that completes a stop text."""
        for place, token_id in enumerate(generated.ids):
            logprobs = verdict.logprobs[place] if verdict.logprobs else None
            stop_text = self._transcript.append(token_id, generated.origin(place), logprobs)
            if stop_text is not None:
                finish = Finish(FinishReason.STOP, stop_text=stop_text)
                return replace(generated, ids=generated.ids[: place + 1], finish=finish)
        return generated

    async def _commit(self, generated: GeneratedRound) -> Acknowledgement:
        """Send a round on its way to Redis; waits only while too many are on it."""
        started_at = time.monotonic()
        status = SessionStatus.RUNNING if generated.finish is None else SessionStatus.FINISHED
        digest = self._digester.digest(self._session.ids, len(self._session.ids))
        acknowledged = await self._commits.submit(
            Commit(generated.position, tuple(generated.ids), digest, status)
        )
        if generated.finish is not None:
            await asyncio.wait([acknowledged])
            self._is_finished = acknowledged.exception() is None
        self._measurements.note_commit(time.monotonic() - started_at)
        return acknowledged

    async def _emit(self, generated: GeneratedRound, verdict: Verdict, acknowledged: Acknowledgement) -> None:
        """Hand tokens to the client, to be sent when Redis has them; waits while the client is far behind."""
        if generated.round == 0 and self._task.echo:
            prompt = echo_chunk(self._tokenizer, self._task.prompt_ids, verdict.prompt_logprobs)
            await self._outbox.put(prompt, acknowledged)
        chunk = self._transcript.take(generated.round, is_last=generated.finish is not None)
        if chunk is not None:
            await self._outbox.put(chunk, acknowledged)

    async def _create(self) -> None:
        """Choose a target and make the session in Redis, before any replica hears of it."""
        target = self._target.bind(self._preferred_target)
        if self._task.speculation.drafter is Drafter.MODEL:
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
            session.sampling,
            owners,
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
