"""A generation: the speculative rounds of one session. Start reading at `_run_rounds`.

Redis is beside the critical path: a round's commit travels while the next round is already proposed and verified,
and a chunk is let out to the client only when its commit is acknowledged. docs/rounds.md tells the whole story.
"""

import asyncio
import time
import uuid
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, replace

import structlog

from orchestrator.circuit_breaker import CircuitBreaker
from orchestrator.commit_line import Acknowledgement
from orchestrator.config import OrchestratorConfig
from orchestrator.draft_planner import DraftPlanner, DraftWish
from orchestrator.errors import (
    RoundFailedError,
    SessionCancelledError,
    SessionStoreUnavailableError,
    StaleRollbackTokenError,
)
from orchestrator.finished_round import FinishedRound
from orchestrator.generated_round import GeneratedRound
from orchestrator.generation_task import GenerationTask
from orchestrator.lease_keeper import LeaseKeeper
from orchestrator.measurements import NO_LAP, Lap, Measurements
from orchestrator.outbox import Outbox
from orchestrator.ownership import Ownership, OwnershipSettings
from orchestrator.pool import DraftPool, TargetPool
from orchestrator.prediction import Prediction
from orchestrator.prompt_lookup import PromptLookup
from orchestrator.quota_keeper import QuotaKeeper
from orchestrator.request_watch import GenerationWatch, OrchestratorWatch, RequestWatch
from orchestrator.rollback_token import RollbackToken, TokenSigner
from orchestrator.round_forecast import Partners
from orchestrator.round_notes import RoundNotes
from orchestrator.round_report import RoundReport
from orchestrator.rounds import DraftSource, Proposal, RoundTiming, Verdict
from orchestrator.session import Session
from orchestrator.session_draft import NoProposal, SessionDraft
from orchestrator.session_record import CacheOwner, SessionOwners, SessionStatus
from orchestrator.session_store import SessionStore
from orchestrator.session_target import FailoverSettings, SessionTarget
from orchestrator.stopping import Finish, cut
from orchestrator.tenants_file import TenantsFile
from orchestrator.transcript import Transcript, echo_chunk, without_sent
from paceline.client.generation import (
    Drafter,
    FinishReason,
    GenerationEvent,
    GenerationStarted,
    RecoverySummary,
    TokenChunk,
    TokenOrigin,
)
from paceline.errors import PacelineError
from paceline.models.tokenizer import Tokenizer
from paceline.rounds import prefix_digest
from paceline.serving.errors import StaleEpochError
from paceline.serving.session_point import PrefixDigester

_log = structlog.get_logger()
_NO_TIME = RoundTiming(0.0, 0.0, 0)


@dataclass(frozen=True)
class Surroundings:
    """What all generations of an orchestrator share.

    `name` is that of the process, in records of sessions; `tenants` is None where callers are not told apart.
    """

    config: OrchestratorConfig
    store: SessionStore
    targets: TargetPool
    drafts: DraftPool
    leases: LeaseKeeper
    signer: TokenSigner
    watch: OrchestratorWatch
    name: str
    quotas: QuotaKeeper
    tenants: TenantsFile | None


class Generation:
    """One session from where it begins to its summary.

    `events` is what the client sees; `close` must follow it, however it ended.
    """

    def __init__(
        self,
        task: GenerationTask,
        surroundings: Surroundings,
        tokenizer: Tokenizer,
        measurements: Measurements,
        request: RequestWatch,
    ) -> None:
        config, start = surroundings.config, task.start
        self._task = task
        self._surroundings = surroundings
        session_id = start.taken.session_id if start.taken is not None else uuid.uuid4().hex
        self._session = Session(session_id, 1, task.sampling, list(start.ids), start.fork_of)
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
                config.target_deadline_seconds,
                config.failover_wait_seconds,
                config.max_failovers,
                config.admission_wait_seconds,
            ),
            self._hand_over,
        )
        self._ownership = Ownership(
            self._session,
            task,
            surroundings.store,
            OwnershipSettings(
                surroundings.name, config.max_uncommitted_rounds, config.redis_patience_seconds
            ),
        )
        self._digester = PrefixDigester()  # of the points that the client has
        self._outbox: Outbox[TokenChunk] = Outbox(config.max_unsent_rounds)
        self._tokenizer = tokenizer
        self._transcript = Transcript(tokenizer, task.stop_texts, len(task.prompt_ids))
        self._planner = DraftPlanner(task.speculation, config.max_ahead_tokens, config.max_ahead_guesses)
        self._lookup = PromptLookup()
        has_drafts = task.speculation.num_draft_tokens > 0
        self._prediction = Prediction(task.prediction_ids) if task.prediction_ids and has_drafts else None
        self._measurements = measurements
        self._request = request
        self._num_replayed_tokens = 0
        self._round = 0
        self._notes = RoundNotes(0.0)
        self._finish: Finish | None = None
        self._rounds: asyncio.Task[None] | None = None
        self._interruption: PacelineError | None = None
        self._status_if_closed: SessionStatus | None = SessionStatus.SUSPENDED
        self._preferred_target: str | None = None
        self._is_closed = False

    @property
    def session_id(self) -> str:
        """The session."""
        return self._session.session_id

    @property
    def target_address(self) -> str | None:
        """Where the target replica is that serves the session now."""
        return self._target.address

    def begin_beside(self, other: "Generation") -> None:
        """Have the session begin at the target of another one with the same prompt, and share its cache."""
        self._preferred_target = other.target_address
        self._session.fork_of = other.session_id

    def interrupt(self, error: PacelineError) -> None:
        """End the rounds with an error after the one that runs; its tokens still go out, and the caches stay."""
        self._interruption = error

    async def claim(self) -> None:
        """Choose the replicas and own the session in Redis, before any replica hears of it; `events` does it otherwise.

        Raises NoTargetReplicaError, SessionMovedError, SessionCancelledError or SessionStoreUnavailableError.
        """
        start = self._task.start
        target = self._target.bind(
            self._preferred_target, preferred_replica_id=start.target_replica_id or None
        )
        if self._task.speculation.drafter is Drafter.MODEL:
            self._draft.bind(preferred_replica_id=start.draft_replica_id or None)
        started_at = time.monotonic()
        await self._ownership.claim(SessionOwners(target, self._draft.owner))
        self._measurements.note_commit(time.monotonic() - started_at)

    async def events(self) -> AsyncGenerator[GenerationEvent]:
        """Yield what the client gets; raises the error that ended the rounds, after all that was committed."""
        if not self._ownership.is_claimed:
            await self.claim()
        yield self._started()
        if self._is_closed:  # the client vanished just now
            return
        watch = self._request.generation(self.session_id, self._task)
        with self._surroundings.leases.holding(self._session, self._lose):
            self._rounds = asyncio.create_task(self._run_rounds(watch))
            self._rounds.add_done_callback(self._end_outbox)
            async for chunk in self._outbox:
                self._measurements.note_sent(chunk)
                yield chunk
        assert self._finish is not None
        num_prompt_tokens = len(self._task.prompt_ids)
        summary = self._measurements.summary(
            self._finish, num_prompt_tokens, len(self._session.ids) - num_prompt_tokens
        )
        summary = replace(
            summary,
            speculation=replace(summary.speculation, choice=self._planner.choice()),
            recovery=self._recovery(),
            rollback_token=self._token(len(self._session.ids)),
        )
        watch.finish(summary)
        if self._surroundings.config.log_texts:
            self._log_texts()
        yield summary

    async def close(self) -> None:
        """Stop the rounds, give the session up in Redis and, unless it may soon go on here, free its caches.

        Once is enough.
        """
        if self._is_closed:
            return
        self._is_closed = True
        if self._rounds is not None:
            self._rounds.cancel()
            await asyncio.wait([self._rounds])
        # The next turn of a session that has finished, or been handed over, finds its caches where they are.
        keeps_caches = self._finish is not None or self._interruption is not None
        await self._draft.close(keeps_cache=keeps_caches)
        self._target.close(keeps_cache=keeps_caches)
        await self._ownership.close(self._status_if_closed)

    async def _run_rounds(self, watch: GenerationWatch) -> None:
        await self._replay()
        while self._finish is None:
            if self._interruption is not None:
                raise self._interruption
            notes = self._begin_round(watch)
            proposal = await self._propose()
            verdict = await self._verify(proposal)
            generated = self._advance(proposal, verdict)
            acknowledged = await self._commit(generated)
            await self._emit(generated, verdict, acknowledged)
            watch.end_round(self._finished_round(proposal, verdict, generated), notes.trace)

    def _begin_round(self, watch: GenerationWatch) -> RoundNotes:
        trace = self._session.trace = watch.begin_round()
        self._notes = RoundNotes.begin(trace, self._target.recovery)
        return self._notes

    def _finished_round(
        self, proposal: Proposal | None, verdict: Verdict, generated: GeneratedRound
    ) -> FinishedRound:
        target, draft = self._target.owner, self._draft.owner
        return self._notes.finish(
            self._session.epoch, proposal, verdict, generated, self._target.recovery, target, draft
        )

    async def _propose(self) -> Proposal | None:
        """Return draft ids that may come next; None where the target is to decode alone."""
        num_remaining = self._task.stop_rules.num_remaining(len(self._session.ids))
        partners = self._partners()
        if (predicted := self._predict(num_remaining, partners)) is not None:
            return predicted
        wish = self._notes.wish = self._planner.next_round(self._round, num_remaining, partners)
        is_drafted_by_model = self._task.speculation.drafter is Drafter.MODEL
        if self._round == 0 and is_drafted_by_model:
            self._draft.prefill(wish.length)  # beside the target's
        proposal, num_draft_tokens = None, wish.length.num_draft_tokens
        if is_drafted_by_model and (num_draft_tokens or wish.is_refresh):
            proposal = await self._propose_by_model(wish)
        if num_draft_tokens and proposal is None:
            proposal = self._look_up(num_draft_tokens)
        self._measurements.note_drafter(num_draft_tokens, proposal)
        return proposal

    def _predict(self, num_remaining: int, partners: Partners) -> Proposal | None:
        """Return what the prediction has next; it is accepted more often than a draft's tokens, and costs nothing."""
        if self._prediction is None:
            return None
        num_draft_tokens = self._planner.most_tokens(self._round, num_remaining)
        num_prompt_tokens = len(self._task.prompt_ids)
        draft_ids = self._prediction.propose(self._session.ids, num_prompt_tokens, num_draft_tokens)
        if not draft_ids:
            return None
        self._notes.wish = self._planner.begin_predicted(len(draft_ids), partners)
        proposal = Proposal(draft_ids, 0, _NO_TIME, drafter=DraftSource.PREDICTION)
        self._measurements.note_drafter(len(draft_ids), proposal)
        return proposal

    async def _propose_by_model(self, wish: DraftWish) -> Proposal | None:
        self._notes.asked_draft_at = time.monotonic()
        if wish.is_refresh:
            outcome = self._draft.refresh(self._round, wish.length)
        else:
            outcome = await self._draft.propose(self._round, wish.length, wish.longest_wait_seconds)
        if isinstance(outcome, Proposal) and not outcome.draft_ids:
            outcome = NoProposal("EMPTY_PROPOSAL")
        if wish.length.num_draft_tokens:
            self._notes.outcome = outcome
            self._measurements.note_proposal(time.monotonic() - self._notes.started_at, outcome)
        return outcome if isinstance(outcome, Proposal) else None

    def _partners(self) -> Partners:
        """Return whom the next round has to do with."""
        target, num_sessions = self._target.pace, self._target.num_sessions
        draft, address = self._draft.pace, self._draft.address
        if draft is None or address is None:
            return Partners(target.verdicts, num_sessions, None, 0, target.pair(Drafter.PROMPT_LOOKUP))
        pair = target.pair(address, draft.placement)
        return Partners(target.verdicts, num_sessions, draft.proposals, self._draft.lag, pair)

    def _look_up(self, num_draft_tokens: int) -> Proposal | None:
        draft_ids = self._lookup.propose(self._session.ids, num_draft_tokens)
        return Proposal(draft_ids, 0, _NO_TIME, drafter=DraftSource.PROMPT_LOOKUP) if draft_ids else None

    async def _verify(self, proposal: Proposal | None) -> Verdict:
        """Have the target choose what comes next, another replica of it if the first one goes away."""
        num_draft_ids = len(proposal.draft_ids) if proposal is not None else 0
        notes = self._notes
        notes.asked_target_at = time.monotonic()
        try:
            verdict = await self._ask_target(proposal)
        except RoundFailedError as error:
            if error.reason != StaleEpochError.reason:
                raise
            await self._assert_ownership(error)
            verdict = await self._ask_target(proposal)
        notes.judged_at = time.monotonic()
        self._measurements.note_verdict(notes.target_seconds, proposal, verdict)
        if self._round > 0:
            self._planner.note(
                RoundReport(
                    notes.wish.length.num_draft_tokens,
                    num_draft_ids,
                    verdict.num_accepted,
                    proposal,
                    notes.draft_seconds,
                    notes.target_seconds,
                    verdict.timing,
                )
            )
        return verdict

    async def _ask_target(self, proposal: Proposal | None) -> Verdict:
        needs_prompt_logprobs = (
            self._round == 0 and self._task.echo and self._task.sampling.num_logprobs is not None
        )
        return await self._target.verify(self._round, proposal, with_prompt_logprobs=needs_prompt_logprobs)

    async def _assert_ownership(self, refusal: RoundFailedError) -> None:
        """Go above the epoch that a replica knows, if Redis, which may have lost writes, says that we are the owner.

        Raises StaleEpochError where we are not.
        """
        known_epoch = int(str(refusal.facts.get("known_epoch", 0)))
        owners = SessionOwners(self._target.owner, self._draft.owner)
        await self._ownership.hand_over(owners, at_least_epoch=known_epoch)

    async def _replay(self) -> None:
        """Write down what the session has generated before, and send what the client has not got of it."""
        start, prompt_ids = self._task.start, self._task.prompt_ids
        old_ids: Sequence[int] = start.ids[len(prompt_ids) :]
        if not old_ids:
            return
        if start.is_resumed:
            self._finish = cut(old_ids, len(prompt_ids), self._task.stop_rules).finish
        for token_id in old_ids:
            stop_text = self._transcript.append(token_id, TokenOrigin.REPLAYED)
            if stop_text is not None and start.is_resumed:
                self._finish = Finish(FinishReason.STOP, stop_text=stop_text)
        is_last = self._finish is not None
        if is_last:
            self._status_if_closed = SessionStatus.FINISHED  # it runs since it was taken over
        chunk = self._transcript.take(0, is_last=is_last)
        self._num_replayed_tokens = await self._send(chunk, _acknowledged())

    def _advance(self, proposal: Proposal | None, verdict: Verdict) -> GeneratedRound:
        """Append what the verdict adds to the session, cut where the generation ends."""
        draft_ids = proposal.draft_ids if proposal is not None else ()
        if proposal is not None and proposal.drafter is DraftSource.MODEL:
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
        self._check_digest(generated)
        return generated

    def _check_digest(self, generated: GeneratedRound) -> None:
        """See to it, when the client's point is reached, that what Redis had lost was generated again as it was."""
        start, ids = self._task.start, self._session.ids
        is_reached = generated.position < start.position <= len(ids)
        if start.digest is not None and is_reached and prefix_digest(ids[: start.position]) != start.digest:
            raise StaleRollbackTokenError(self._session.session_id, start.position)

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
        acknowledged = await self._ownership.commit(generated.position, generated.ids, status)
        if generated.finish is not None:
            await asyncio.wait([acknowledged])
            if acknowledged.exception() is None:
                self._status_if_closed = None
        self._notes.committed_at = time.monotonic()
        self._measurements.note_commit(self._notes.committed_at - started_at)
        return acknowledged

    async def _emit(self, generated: GeneratedRound, verdict: Verdict, acknowledged: Acknowledgement) -> None:
        """Hand tokens to the client, to be sent when Redis has them; waits while the client is far behind."""
        if generated.round == 0 and self._task.echo:
            prompt = echo_chunk(self._tokenizer, self._task.prompt_ids, verdict.prompt_logprobs)
            await self._send(prompt, acknowledged)
        chunk = self._transcript.take(generated.round, is_last=generated.finish is not None)
        if chunk is not None:
            await self._send(chunk, acknowledged, self._measurements.lap())

    async def _send(self, chunk: TokenChunk | None, acknowledged: Acknowledgement, lap: Lap = NO_LAP) -> int:
        """Queue what the client has not got yet of a chunk, and return how many tokens that is."""
        new = without_sent(chunk, self._task.start.position) if chunk is not None else None
        if new is None:
            return 0
        new = replace(
            new,
            rollback_token=self._token(new.position + len(new.tokens)),
            timing=lap.timing,
            num_draft_tokens=lap.num_draft_tokens,
            epoch=self._session.epoch,
        )
        await self._outbox.put(new, acknowledged)
        return len(new.tokens)

    def _token(self, position: int) -> str:
        session = self._session
        digest = self._digester.digest(session.ids, position)
        return self._surroundings.signer.write(
            RollbackToken(session.session_id, session.epoch, position, digest)
        )

    def _started(self) -> GenerationStarted:
        task, session = self._task, self._session
        start = task.start
        return GenerationStarted(
            session.session_id,
            len(task.prompt_ids),
            task.model,
            session.sampling.seed,
            position=start.position,
            rollback_token=self._first_token(),
            trace_id=self._request.context.trace_id_hex,
        )

    def _first_token(self) -> str:
        """Name the point where the stream begins; a point before the prompt's end would echo it no more."""
        start, session = self._task.start, self._session
        if start.position == 0:
            return ""
        if start.digest is not None:
            point = RollbackToken(session.session_id, session.epoch, start.position, start.digest)
            return self._surroundings.signer.write(point)
        return self._token(start.position)

    def _log_texts(self) -> None:
        ids, num_prompt_tokens = self._session.ids, len(self._task.prompt_ids)
        prompt, text = (
            self._tokenizer.decode(part) for part in (ids[:num_prompt_tokens], ids[num_prompt_tokens:])
        )
        _log.debug("generation_texts", session_id=self.session_id, prompt=prompt, text=text)

    def _recovery(self) -> RecoverySummary:
        recovery = self._target.recovery
        return RecoverySummary(
            dict(recovery.num_failovers),
            recovery.num_rebuilt_tokens,
            self._num_replayed_tokens,
            self._ownership.num_restored,
            recovery.detection_seconds,
            recovery.takeover_seconds,
            recovery.rebuild_seconds,
        )

    async def _hand_over(self, target: CacheOwner) -> None:
        """Make a process the target of the session, under a new epoch."""
        await self._ownership.hand_over(SessionOwners(target, self._draft.owner))

    def _lose(self, error: PacelineError) -> None:
        """End the rounds at once: somebody else owns the session."""
        self._ownership.lose()
        self._outbox.close(error)
        if self._rounds is not None:
            self._rounds.cancel()

    def _end_outbox(self, rounds: asyncio.Task[None]) -> None:
        error = None if rounds.cancelled() else rounds.exception()
        if isinstance(error, StaleEpochError | SessionCancelledError):
            self._ownership.lose()
        if error is not None and error is not self._interruption:
            # A Redis that is gone cannot be told, and the client goes on elsewhere: the lease runs out by itself.
            is_store_gone = isinstance(error, SessionStoreUnavailableError)
            self._status_if_closed = None if is_store_gone else SessionStatus.FAILED
        if not rounds.cancelled():
            self._outbox.close(error)


def _acknowledged() -> Acknowledgement:
    """Return the acknowledgement of what Redis has already."""
    acknowledgement: Acknowledgement = asyncio.get_running_loop().create_future()
    acknowledgement.set_result(None)
    return acknowledgement
