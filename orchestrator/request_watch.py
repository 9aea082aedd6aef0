"""What an orchestrator tells of each request: its metrics, its trace, and one line in the log.

Whether a trace is recorded is decided where it begins, by the caller or at a ratio; replicas then record their part.
A generation that fails or is slow is kept all the same, from what this process knows: its last rounds are remembered.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import structlog

from orchestrator.finished_round import FinishedRound
from orchestrator.generation_task import GenerationTask
from orchestrator.orchestrator_metrics import OrchestratorMetrics
from orchestrator.refusals import Refusals
from orchestrator.round_trace import RoundTrace
from paceline.client.generation import GenerationSummary
from paceline.errors import PacelineError
from paceline.serving.status import INTERNAL_REASON
from paceline.telemetry.setup import Telemetry
from paceline.telemetry.trace_context import TraceContext, read_traceparent
from paceline.telemetry.tracer import Attributes, FinishedSpan, SpanEvent, SpanKind, Tracer

_TRACEPARENT = "traceparent"
_CANCELLED = "CANCELLED"
# Rounds of a generation that are remembered for the case that it fails or turns out to be slow.
_NUM_REMEMBERED_ROUNDS = 256

_log = structlog.get_logger()


class OrchestratorWatch:
    """What all requests of an orchestrator share.

    Attributes:
        metrics: What is counted.
        tracer: Where spans go.
        slow_seconds: Requests that take longer are traced in any case.
        refusals: Calls that are refused because of who sent them, or because too much was asked.
    """

    def __init__(self, telemetry: Telemetry, slow_seconds: float) -> None:
        self.metrics = OrchestratorMetrics(telemetry.metrics)
        self.tracer = telemetry.tracer
        self.slow_seconds = slow_seconds
        self.refusals = Refusals(self.metrics)

    @contextmanager
    def request(
        self, metadata: Iterable[tuple[str, str | bytes]], tenant: str = ""
    ) -> "Iterator[RequestWatch]":
        """Watch a tenant's request for as long as the block runs; lines in the log of all its tasks name its trace."""
        watch = RequestWatch(self, _parent_in(metadata), tenant)
        # Not taken back: a call has a task, and so a context, of its own, and may be ended in another one.
        structlog.contextvars.bind_contextvars(
            trace_id=watch.context.trace_id_hex, **({"tenant": tenant} if tenant else {})
        )
        try:
            yield watch
        except BaseException as error:
            watch.end(_reason_of(error))
            raise
        watch.end()


class RequestWatch:
    """One request.

    Attributes:
        context: Its span.
        model: The model that it asks for; empty until that is known.
        spend: What is told of each token that the request uses.
    """

    def __init__(self, watch: OrchestratorWatch, parent: TraceContext | None, tenant: str) -> None:
        self.context = watch.tracer.begin(parent)
        self.model = ""
        self.spend: Callable[[int], None] = _spend_nothing
        self._tenant = tenant
        self._watch = watch
        self._parent = parent
        self._started_at = time.monotonic()
        self._generations: list[GenerationWatch] = []

    def generation(self, session_id: str, task: GenerationTask) -> "GenerationWatch":
        """Return the watch of a generation of the request that begins now."""
        if not self._generations:  # choices share their prompt
            self._note_tokens("prompt", task.num_new_prompt_tokens)
        watch = GenerationWatch(self._watch, self.context, session_id, task, self.note_generated)
        self._generations.append(watch)
        return watch

    def note_generated(self, num_tokens: int) -> None:
        """Take in tokens that a round has added."""
        self._note_tokens("generated", num_tokens)

    def _note_tokens(self, kind: str, num_tokens: int) -> None:
        self._watch.metrics.note_tenant_tokens(self._tenant, kind, num_tokens)
        self.spend(num_tokens)

    def end(self, error_reason: str = "") -> None:
        """Take in the end of the request; the reason is empty where it went well."""
        ended_at = time.monotonic()
        seconds = ended_at - self._started_at
        self._watch.metrics.note_request(self.model, error_reason, seconds)
        for generation in self._generations:
            generation.end(error_reason)
        tracer = self._watch.tracer
        is_kept = self.context.is_sampled or bool(error_reason) or seconds > self._watch.slow_seconds
        if tracer.is_on and is_kept:
            for generation in self._generations:
                generation.trace(ended_at)
            tracer.record(self._span(ended_at, error_reason))

    def _span(self, ended_at: float, error_reason: str) -> FinishedSpan:
        return FinishedSpan(
            f"text_completion {self.model}".rstrip(),
            self.context,
            self._parent,
            _ns(self._started_at),
            _ns(ended_at),
            {
                "gen_ai.operation.name": "text_completion",
                "gen_ai.provider.name": "paceline",
                "gen_ai.request.model": self.model,
                "gen_ai.request.choice.count": len(self._generations),
                **({"error.type": error_reason} if error_reason else {}),
            },
            SpanKind.SERVER,
            error=error_reason,
        )


class GenerationWatch:
    """One generation."""

    def __init__(
        self,
        watch: OrchestratorWatch,
        request: TraceContext,
        session_id: str,
        task: GenerationTask,
        note_generated: Callable[[int], None],
    ) -> None:
        self._task = task
        self._note_generated = note_generated
        self._metrics = watch.metrics
        self._tracer: Tracer = watch.tracer
        self._request = request
        self._context = request.child()
        self._session_id = session_id
        self._is_recorded = watch.tracer.is_on and request.is_sampled
        self._remembered: deque[FinishedRound] | None = (
            deque(maxlen=_NUM_REMEMBERED_ROUNDS) if watch.tracer.is_on and not request.is_sampled else None
        )
        self._started_at = time.monotonic()
        self._summary: GenerationSummary | None = None
        self._num_rounds = 0
        watch.metrics.num_in_prefill += 1

    def begin_round(self) -> RoundTrace | None:
        """Return the spans of the next round; None where its trace is not recorded."""
        return RoundTrace.of(self._context) if self._is_recorded else None

    def end_round(self, round_: FinishedRound, trace: RoundTrace | None) -> None:
        """Take in a round; `trace` is what `begin_round` gave out for it."""
        if not self._num_rounds:
            self._metrics.num_in_prefill -= 1
            self._metrics.num_decoding += 1
        self._num_rounds += 1
        self._metrics.note_round(round_)
        self._note_generated(round_.num_tokens)
        if trace is not None:
            self._trace_round(round_, trace)
        elif self._remembered is not None:
            self._remembered.append(round_)

    def finish(self, summary: GenerationSummary) -> None:
        """Take in the summary of a generation that went well."""
        self._summary = summary

    def end(self, error_reason: str) -> None:
        """Take in that nothing follows, and log it."""
        if self._num_rounds:
            self._metrics.num_decoding -= 1
        else:
            self._metrics.num_in_prefill -= 1
        summary = self._summary
        if summary is None:
            self._metrics.note_failure(error_reason or _CANCELLED)
            _log.info(
                "generation_failed",
                session_id=self._session_id,
                reason=error_reason or _CANCELLED,
                num_rounds=self._num_rounds,
            )
            return
        self._metrics.note_summary(self._task.model, summary)
        speculation = summary.speculation
        _log.info(
            "generation_finished",
            session_id=self._session_id,
            reason=summary.finish_reason.lower(),
            num_prompt_tokens=summary.usage.num_prompt_tokens,
            num_tokens=summary.usage.num_completion_tokens,
            seconds=round(summary.timing.total_seconds, 3),
            first_token_seconds=round(summary.timing.time_to_first_token_seconds, 3),
            num_rounds=speculation.num_rounds,
            num_draft_tokens=speculation.num_draft_tokens,
            num_accepted_tokens=speculation.num_accepted_tokens,
            num_failovers=sum(summary.recovery.num_failovers.values()),
        )

    def trace(self, ended_at: float) -> None:
        """Write down the generation's span, and those of the rounds that are remembered."""
        for round_ in self._remembered or ():
            self._trace_round(round_, RoundTrace.of(self._context))
        self._tracer.record(
            FinishedSpan(
                "paceline.generation",
                self._context,
                self._request,
                _ns(self._started_at),
                _ns(ended_at),
                self._attributes(),
                error="" if self._summary is not None else "FAILED",
            )
        )

    def _attributes(self) -> Attributes:
        sampling, speculation = self._task.sampling, self._task.speculation
        about: dict[str, bool | int | float | str] = {
            "paceline.session_id": self._session_id,
            "paceline.drafter": speculation.drafter.lower(),
            "paceline.is_adaptive": speculation.is_adaptive,
            "gen_ai.request.temperature": sampling.temperature,
            "gen_ai.request.seed": str(sampling.seed),
            "gen_ai.request.max_tokens": self._task.stop_rules.max_tokens,
            "paceline.num_rounds": self._num_rounds,
        }
        summary = self._summary
        if summary is not None:
            about |= {
                "gen_ai.usage.input_tokens": summary.usage.num_prompt_tokens,
                "gen_ai.usage.output_tokens": summary.usage.num_completion_tokens,
                "gen_ai.response.finish_reasons": summary.finish_reason.lower(),
                "paceline.num_draft_tokens": summary.speculation.num_draft_tokens,
                "paceline.num_accepted_tokens": summary.speculation.num_accepted_tokens,
                "paceline.num_failovers": sum(summary.recovery.num_failovers.values()),
            }
        return about

    def _trace_round(self, round_: FinishedRound, trace: RoundTrace) -> None:
        times, record = round_.times, self._tracer.record
        if round_.draft_replica_id and round_.num_wanted:
            attributes = {"paceline.replica_id": round_.draft_replica_id}
            asked, answered = _ns(times.asked_draft_at), _ns(times.asked_target_at)
            record(
                FinishedSpan(
                    "paceline.propose",
                    trace.propose,
                    trace.round,
                    asked,
                    answered,
                    attributes,
                    SpanKind.CLIENT,
                )
            )
        attributes = {"paceline.replica_id": round_.target_replica_id}
        asked, answered = _ns(times.asked_target_at), _ns(times.judged_at)
        record(
            FinishedSpan(
                "paceline.verify", trace.verify, trace.round, asked, answered, attributes, SpanKind.CLIENT
            )
        )
        record(
            FinishedSpan(
                "paceline.commit", trace.round.child(), trace.round, answered, _ns(times.committed_at)
            )
        )
        record(
            FinishedSpan(
                "paceline.round",
                trace.round,
                self._context,
                _ns(times.started_at),
                _ns(times.ended_at),
                _round_attributes(round_),
                events=tuple(_events(round_)),
            )
        )


def _round_attributes(round_: FinishedRound) -> Attributes:
    timing = round_.target_timing
    return {
        "paceline.round": round_.number,
        "paceline.epoch": round_.epoch,
        "paceline.position": round_.position,
        "paceline.drafter": round_.drafter,
        "paceline.num_wanted_tokens": round_.num_wanted,
        "paceline.num_draft_tokens": round_.num_drafted,
        "paceline.num_accepted_tokens": round_.num_accepted,
        "paceline.num_tokens": round_.num_tokens,
        "paceline.num_ahead_tokens": round_.num_ahead,
        "paceline.batch.rows": timing.batch_rows,
        "paceline.batch.sessions": timing.batch_sessions,
        "paceline.num_cached_tokens": timing.num_cached_tokens,
        **{f"paceline.part.{name}_seconds": seconds for name, seconds in round_.parts()},
    }


def _events(round_: FinishedRound) -> Iterator[SpanEvent]:
    times = round_.times
    if round_.ahead_outcome:
        attributes = {"paceline.num_dropped_tokens": round_.num_dropped}
        yield SpanEvent(f"paceline.ahead.{round_.ahead_outcome}", _ns(times.asked_target_at), attributes)
    if round_.degraded_reason:
        attributes = {"error.type": round_.degraded_reason}
        yield SpanEvent("paceline.degraded", _ns(times.asked_target_at), attributes)
    for reason in round_.failovers:
        yield SpanEvent("paceline.failover", _ns(times.judged_at), {"error.type": reason})


def _spend_nothing(num_tokens: int) -> None:
    """Count no tokens: nobody holds the request to a quota."""


def _parent_in(metadata: Iterable[tuple[str, str | bytes]]) -> TraceContext | None:
    header = next((value for name, value in metadata if name == _TRACEPARENT), None)
    return read_traceparent(header) if isinstance(header, str) else None


def _reason_of(error: BaseException) -> str:
    if isinstance(error, PacelineError):
        return error.reason
    return _CANCELLED if isinstance(error, asyncio.CancelledError | GeneratorExit) else INTERNAL_REASON


def _ns(seconds: float) -> int:
    return int(seconds * 1e9)
