"""The client passes on the trace that its application is in."""

import pytest
from opentelemetry import trace

from paceline.client.tracing import traced_call
from paceline.telemetry.trace_context import read_traceparent

PARENT = trace.SpanContext(
    0xABC, 0xDEF, is_remote=False, trace_flags=trace.TraceFlags(trace.TraceFlags.SAMPLED)
)


def test_an_application_in_a_trace_passes_it_on():
    with trace.use_span(trace.NonRecordingSpan(PARENT)), traced_call("paceline.generate") as metadata:
        [(name, header)] = metadata
    context = read_traceparent(header)
    assert name == "traceparent"
    assert context is not None
    assert (context.trace_id, context.is_sampled) == (0xABC, True)


def test_an_application_in_none_sends_none():
    with traced_call("paceline.generate") as metadata:
        assert metadata == ()


def test_errors_pass_through():
    with pytest.raises(ValueError, match="mine"), traced_call("paceline.generate"):
        raise ValueError("mine")
