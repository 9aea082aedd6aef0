"""Spans that are written down when they are over, with the ids that were given out for them before.

A replica's span has the orchestrator's as its parent before that one has ended; and whether a generation is worth
keeping is known when it has failed or was slow. So a span here is plain data, recorded at once with its start and end.
"""

from collections.abc import Callable, Mapping, Sequence
from enum import Enum, auto
from types import MappingProxyType
from typing import NamedTuple

from paceline.telemetry.trace_context import TraceContext

Value = bool | int | float | str | Sequence[str] | Sequence[int]
Attributes = Mapping[str, Value]

_NONE: Attributes = MappingProxyType({})


class SpanKind(Enum):
    """A span's side of a call."""

    INTERNAL = auto()
    SERVER = auto()
    CLIENT = auto()


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
    """Takes spans in and hands them to `export`; without that it does nothing.

    Attributes:
        ratio: Share of the traces, of those that begin here, that are recorded.
    """

    def __init__(self, export: Callable[[FinishedSpan], None] | None = None, ratio: float = 0.0) -> None:
        self.ratio = ratio if export is not None else 0.0
        self._export = export

    @property
    def is_on(self) -> bool:
        """Whether anybody gets the spans."""
        return self._export is not None

    def begin(self, parent: TraceContext | None = None) -> TraceContext:
        """Return a new span, of a new trace where there is no parent."""
        return TraceContext.new(self.ratio, parent)

    def record(self, span: FinishedSpan) -> None:
        """Write a span down, whatever had been decided of its trace: asking that comes before."""
        if self._export is not None:
            self._export(span)


OFF = Tracer()
