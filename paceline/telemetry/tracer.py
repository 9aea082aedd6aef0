"""Spans that are written down when they are over, with the ids that were given out for them before.

A replica's span has the orchestrator's as its parent before that one has ended; and whether a generation is worth
keeping is known when it has failed or was slow. So a span here is plain data, recorded at once with its start and end.
"""

import time
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan, SpanProcessor
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from paceline.telemetry.trace_context import TraceContext

Value = bool | int | float | str | Sequence[str] | Sequence[int]
Attributes = Mapping[str, Value]

_NONE: Attributes = MappingProxyType({})
_SCOPE = InstrumentationScope("paceline")
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
# Between the monotonic clock, by which all of us measure, and the time of day.
_EPOCH_NS = time.time_ns() - time.monotonic_ns()


class SpanEvent(NamedTuple):
    """Something that happened at a moment of a span, on the monotonic clock."""

    name: str
    at_ns: int
    attributes: Attributes = _NONE


class FinishedSpan(NamedTuple):
    """A span that is over.

    Attributes:
        name: What was done.
        context: Its ids.
        parent: The span it is part of; None for the first of a trace.
        started_ns: On the monotonic clock.
        ended_ns: The same.
        attributes: What is known of it.
        kind: Its side of a call.
        events: What happened meanwhile.
        links: Spans of other traces that it has to do with.
        error: Why it failed; empty where it did not.
    """

    name: str
    context: TraceContext
    parent: TraceContext | None
    started_ns: int
    ended_ns: int
    attributes: Attributes = _NONE
    kind: SpanKind = SpanKind.INTERNAL
    events: Sequence[SpanEvent] = ()
    links: Sequence[TraceContext] = ()
    error: str = ""


class Tracer:
    """Takes spans in and hands them to a processor; without one it does nothing.

    Attributes:
        ratio: Share of the traces, of those that begin here, that are recorded.
    """

    def __init__(
        self, processor: SpanProcessor | None = None, resource: Resource | None = None, ratio: float = 0.0
    ) -> None:
        self.ratio = ratio if processor is not None else 0.0
        self._processor = processor
        self._resource = resource

    @property
    def is_on(self) -> bool:
        """Whether anybody gets the spans."""
        return self._processor is not None

    def begin(self, parent: TraceContext | None = None) -> TraceContext:
        """Return a new span, of a new trace where there is no parent."""
        return TraceContext.new(self.ratio, parent)

    def record(self, span: FinishedSpan) -> None:
        """Write a span down, whatever had been decided of its trace: asking that comes before."""
        if self._processor is not None:
            self._processor.on_end(self._readable(span))

    def _readable(self, span: FinishedSpan) -> ReadableSpan:
        return ReadableSpan(
            name=span.name,
            context=_span_context(span.context),
            parent=_span_context(span.parent) if span.parent is not None else None,
            resource=self._resource,
            attributes=dict(span.attributes),
            events=[Event(one.name, dict(one.attributes), _EPOCH_NS + one.at_ns) for one in span.events],
            links=[Link(_span_context(one)) for one in span.links],
            kind=span.kind,
            status=Status(StatusCode.ERROR, span.error) if span.error else Status(),
            start_time=_EPOCH_NS + span.started_ns,
            end_time=_EPOCH_NS + span.ended_ns,
            instrumentation_scope=_SCOPE,
        )


OFF = Tracer()


def _span_context(context: TraceContext) -> SpanContext:
    return SpanContext(context.trace_id, context.span_id, is_remote=False, trace_flags=_SAMPLED)
