"""The trace that a round belongs to, on the wire: rounds of many traces share a stream, so metadata cannot say it."""

from paceline.telemetry.trace_context import TraceContext
from paceline.v1 import round_pb2

_TRACE_ID_BYTES = 16
_SPAN_ID_BYTES = 8


def trace_from(point: round_pb2.SessionPoint) -> TraceContext | None:
    """Return the span that a round is part of; None where its trace is not recorded."""
    if not point.HasField("trace"):
        return None
    trace = point.trace
    if len(trace.trace_id) != _TRACE_ID_BYTES or len(trace.span_id) != _SPAN_ID_BYTES:
        return None  # what is wrong with a trace is no reason to refuse a round
    return TraceContext(int.from_bytes(trace.trace_id), int.from_bytes(trace.span_id), is_sampled=True)


def write_trace(context: TraceContext, message: round_pb2.TraceContext) -> None:
    """Write a span into the message that goes to a replica."""
    message.trace_id = context.trace_id.to_bytes(_TRACE_ID_BYTES)
    message.span_id = context.span_id.to_bytes(_SPAN_ID_BYTES)
