"""Trace contexts, and spans on their way to a receiver."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paceline.serving.trace_messages import trace_from, write_trace
from paceline.telemetry.setup import TelemetrySettings, telemetry
from paceline.telemetry.trace_context import TraceContext, read_traceparent, write_traceparent
from paceline.telemetry.tracer import FinishedSpan, SpanEvent, Tracer
from paceline.v1 import round_pb2
from tests.otlp_receiver import otlp_receiver

CONTEXTS = st.builds(TraceContext, st.integers(1, 2**128 - 1), st.integers(1, 2**64 - 1), st.booleans())


@given(CONTEXTS)
def test_a_header_says_what_was_written_into_it(context):
    assert read_traceparent(write_traceparent(context)) == context


@given(CONTEXTS)
def test_a_message_says_what_was_written_into_it(context):
    point = round_pb2.SessionPoint()
    write_trace(context, point.trace)
    assert trace_from(point) == context._replace(is_sampled=True), "others are not sent"


def test_a_message_without_a_trace_or_with_a_malformed_one_has_none():
    assert trace_from(round_pb2.SessionPoint()) is None
    point = round_pb2.SessionPoint(trace=round_pb2.TraceContext(trace_id=b"short", span_id=b"12345678"))
    assert trace_from(point) is None


@pytest.mark.parametrize(
    "header",
    [
        "",
        "nonsense",
        "00-00000000000000000000000000000000-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
        "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
    ],
)
def test_a_malformed_header_begins_a_trace_of_its_own(header):
    assert read_traceparent(header) is None


def test_a_header_of_a_later_version_is_read_as_far_as_it_is_known():
    context = read_traceparent("01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03-later")
    assert context is not None
    assert context.is_sampled


def test_the_ratio_decides_where_a_trace_begins_and_the_caller_where_it_came_from():
    sampled = [TraceContext.new(0.25).is_sampled for _ in range(4000)]
    assert 0.2 < sum(sampled) / len(sampled) < 0.3
    assert not any(TraceContext.new(0.0).is_sampled for _ in range(100))
    assert all(TraceContext.new(1.0).is_sampled for _ in range(100))
    parent = TraceContext(7, 8, is_sampled=True)
    child = TraceContext.new(0.0, parent)
    assert (child.trace_id, child.is_sampled) == (7, True)
    assert child.span_id != 8


def test_a_tracer_that_nobody_listens_to_records_nothing_and_samples_nothing():
    tracer = Tracer(ratio=1.0)
    assert not tracer.begin().is_sampled
    tracer.record(FinishedSpan("x", TraceContext(1, 2, is_sampled=True), None, 0, 1))


def test_spans_arrive_with_their_ids_times_events_links_and_errors():
    parent = TraceContext(0xABC, 0x1, is_sampled=True)
    span, other = parent.child(), TraceContext(0xDEF, 0x5, is_sampled=True)
    with (
        otlp_receiver() as receiver,
        telemetry(
            TelemetrySettings("draft_service", "draft-0", otlp_endpoint=receiver.endpoint, trace_ratio=1.0)
        ) as told,
    ):
        assert told.tracer.begin().is_sampled
        told.tracer.record(
            FinishedSpan(
                "paceline.round",
                span,
                parent,
                1_000_000_000,
                1_250_000_000,
                {"paceline.round": 3},
                events=(SpanEvent("paceline.ahead.continued", 1_100_000_000),),
                links=(other,),
                error="STALE_EPOCH",
            )
        )
    [received] = receiver.spans
    assert received.service == "paceline-draft"
    assert (received.trace_id, received.span_id) == (f"{0xABC:032x}", f"{span.span_id:016x}")
    assert received.parent_id == f"{1:016x}"
    assert received.seconds == pytest.approx(0.25)
    assert received.attributes == {"paceline.round": 3}
    assert received.events == ("paceline.ahead.continued",)
    assert received.links == (f"{5:016x}",)
    assert received.is_error
