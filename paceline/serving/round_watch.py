"""What a model service tells of its engine and of the rounds that it answers."""

import time
from collections.abc import Callable, Mapping, Sized
from typing import NamedTuple

from paceline.engine.task import Pass
from paceline.engine.work import WorkTiming
from paceline.serving.model_engine import ModelEngine
from paceline.serving.pass_traces import PassTraces
from paceline.serving.trace_messages import trace_from
from paceline.telemetry import catalogue
from paceline.telemetry.metrics import Labels
from paceline.telemetry.setup import Telemetry
from paceline.telemetry.trace_context import TraceContext
from paceline.telemetry.tracer import Attributes, FinishedSpan, SpanKind
from paceline.v1 import round_pb2

_OK = "OK"


class ReceivedRound(NamedTuple):
    """A round as it came.

    Attributes:
        point: Where it starts.
        number: Of the round in its session.
        received_ns: When, on the monotonic clock.
    """

    point: round_pb2.SessionPoint
    number: int
    received_ns: int


class RoundWatch:
    """Metrics of one model service, and spans of the rounds whose traces are recorded.

    `name` is that of the service in spans: "target" or "draft".
    """

    def __init__(self, name: str, telemetry: Telemetry) -> None:
        metrics = self._metrics = telemetry.metrics
        self._name = name
        self._tracer = telemetry.tracer
        self._pass_traces = PassTraces(telemetry.tracer)
        self._pass_seconds = metrics.histogram(catalogue.PASS_DURATION).labelled()
        self._pass_rows = metrics.histogram(catalogue.PASS_ROWS).labelled()
        self._pass_sessions = metrics.histogram(catalogue.PASS_SESSIONS).labelled()
        self._rounds = metrics.counter(catalogue.REPLICA_ROUNDS)
        self._queue_seconds = metrics.histogram(catalogue.QUEUE_DURATION).labelled()
        self._compute_seconds = metrics.histogram(catalogue.COMPUTE_DURATION).labelled()
        self._queried_tokens = metrics.counter(catalogue.QUERIED_TOKENS).labelled()
        self._cached_tokens = metrics.counter(catalogue.CACHED_TOKENS).labelled()

    def note_pass(self, ran: Pass) -> None:
        """Take in a forward pass, on the engine's thread."""
        self._pass_seconds.record(ran.duration_ns / 1e9)
        self._pass_rows.record(ran.batch_rows)
        self._pass_sessions.record(ran.batch_sessions)
        if self._tracer.is_on:
            self._pass_traces.note_pass(ran)

    def observe(self, engine: ModelEngine, sessions: Sized) -> None:
        """Have the state of an engine, and how many sessions there are, read whenever metrics leave."""
        observe = self._metrics.observe
        observe(catalogue.NUM_REQUESTS_RUNNING, lambda: engine.progress().num_running)
        observe(catalogue.NUM_REQUESTS_WAITING, lambda: engine.progress().num_waiting)
        observe(catalogue.NUM_CACHED_SESSIONS, lambda: len(sessions))
        observe(catalogue.KV_BLOCKS, lambda: _blocks(engine))
        observe(catalogue.KV_USAGE, lambda: _usage(engine))
        observe(catalogue.KV_EVICTED_SEQUENCES, lambda: _evictions(engine))

    def flush(self) -> None:
        """Write down what waits for more to go with it."""
        self._pass_traces.flush()

    def answered(
        self, round_: ReceivedRound, timing: WorkTiming, waited_ns: int, attributes: Callable[[], Attributes]
    ) -> None:
        """Take in a round that went well; `waited_ns` is from its receipt until its work was submitted.

        `attributes` says what a span of it has besides; most rounds have none.
        """
        self._rounds.labelled(_OK).add()
        self._queue_seconds.record((waited_ns + timing.queue_ns) / 1e9)
        self._compute_seconds.record(timing.compute_ns / 1e9)
        if round_.point.position == 0:
            self._queried_tokens.add(len(round_.point.committed_ids))
            self._cached_tokens.add(timing.num_cached_tokens)
        if self._tracer.is_on and (parent := trace_from(round_.point)) is not None:
            self._trace(round_, parent, timing, waited_ns, attributes())

    def failed(self, round_: ReceivedRound, reason: str) -> None:
        """Take in a round that was answered with an error of this reason."""
        self._rounds.labelled(reason).add()
        if self._tracer.is_on and (parent := trace_from(round_.point)) is not None:
            span = self._span(round_, parent, {"error.type": reason}, {})
            self._tracer.record(span._replace(error=reason))

    def _trace(
        self,
        round_: ReceivedRound,
        parent: TraceContext,
        timing: WorkTiming,
        waited_ns: int,
        attributes: Attributes,
    ) -> None:
        found = {
            "paceline.num_passes": timing.num_steps,
            "paceline.batch.rows": timing.batch_rows,
            "paceline.batch.sessions": timing.batch_sessions,
            "paceline.num_cached_tokens": timing.num_cached_tokens,
            "paceline.queue_seconds": (waited_ns + timing.queue_ns) / 1e9,
            "paceline.compute_seconds": timing.compute_ns / 1e9,
        }
        span = self._span(round_, parent, found, attributes)
        self._tracer.record(span)
        if timing.num_steps:
            begun_ns = round_.received_ns + waited_ns + timing.queue_ns
            ended_ns = min(span.ended_ns, begun_ns + timing.compute_ns)
            for name, started, ended in (
                ("paceline.queue", round_.received_ns, begun_ns),
                ("paceline.compute", begun_ns, ended_ns),
            ):
                self._tracer.record(FinishedSpan(name, span.context.child(), span.context, started, ended))
            self._pass_traces.note_round(timing.steps, span.context)

    def _span(
        self, round_: ReceivedRound, parent: TraceContext, found: Attributes, attributes: Attributes
    ) -> FinishedSpan:
        return FinishedSpan(
            f"paceline.{self._name}.round",
            parent.child(),
            parent,
            round_.received_ns,
            time.monotonic_ns(),
            {**_about(round_), **found, **attributes},
            SpanKind.SERVER,
        )


def _about(round_: ReceivedRound) -> Attributes:
    point = round_.point
    return {
        "paceline.session_id": point.session_id,
        "paceline.round": round_.number,
        "paceline.epoch": point.epoch,
        "paceline.position": point.position,
        "paceline.num_committed_ids": len(point.committed_ids),
    }


def _blocks(engine: ModelEngine) -> Mapping[Labels, float]:
    usage = engine.usage()
    return {
        ("used",): usage.num_used_blocks,
        ("cached",): usage.num_cached_blocks,
        ("free",): usage.num_free_blocks,
    }


def _usage(engine: ModelEngine) -> float:
    usage = engine.usage()
    return usage.num_used_blocks / max(1, usage.num_blocks)


def _evictions(engine: ModelEngine) -> Mapping[Labels, float]:
    usage = engine.usage()
    return {("idle",): usage.num_evicted_idle, ("preempted",): usage.num_preempted}
