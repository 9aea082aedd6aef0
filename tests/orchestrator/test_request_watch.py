"""Which requests are traced, and what is counted of them."""

import asyncio
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor

from orchestrator.finished_round import FinishedRound, RoundTimes
from orchestrator.generation_task import GenerationTask, SpeculationPlan
from orchestrator.request_watch import OrchestratorWatch
from orchestrator.rounds import RoundTiming
from orchestrator.start import Start
from orchestrator.stopping import StopRules
from orchestrator.transcript import StopTexts
from paceline.client.generation import (
    Drafter,
    DraftLengthChoice,
    FinishReason,
    GenerationSummary,
    GenerationTiming,
    SpeculationMode,
    SpeculationSummary,
    TokenOrigin,
    Usage,
)
from paceline.errors import InvalidRequestError
from paceline.sampling.parameters import SamplingParameters
from paceline.telemetry.metrics import HistogramPoint, Metrics
from paceline.telemetry.otlp import span_exporter
from paceline.telemetry.setup import Telemetry
from paceline.telemetry.trace_context import TraceContext, write_traceparent
from paceline.telemetry.tracer import Tracer

SAMPLED = TraceContext(0xABC, 0x123, is_sampled=True)
TASK = GenerationTask(
    "tiny",
    (1, 2, 3),
    Start((1, 2, 3), 3),
    StopRules(3, 10, 100, frozenset()),
    StopTexts(()),
    SpeculationPlan.of(SpeculationMode.ADAPTIVE, Drafter.MODEL, 8),
    SamplingParameters(),
    100,
)
SUMMARY = GenerationSummary(
    FinishReason.LENGTH,
    Usage(3, 10, 2),
    SpeculationSummary(4, 12, 6, (4, 4, 4), (3, 2, 1), 3, {}),
    GenerationTiming(0.1, 0.02, 0.3, 0.1, 0.1, 0.0, 0.0, 0.0),
)
ROUND = FinishedRound(
    number=1,
    position=3,
    epoch=7,
    times=RoundTimes(10.0, 10.001, 10.02, 10.12, 10.121, 10.122),
    drafter="model",
    num_wanted=3,
    num_drafted=3,
    num_accepted=2,
    num_tokens=3,
    own_origin=TokenOrigin.RECOVERED,
    num_ahead=1,
    num_dropped=2,
    ahead_outcome="continued",
    degraded_reason="",
    draft_timing=RoundTiming(0.001, 0.015, 0),
    target_timing=RoundTiming(0.005, 0.09, 0, 1, 4, 1),
    failovers=(),
    target_replica_id="target-0",
    draft_replica_id="draft-0",
)


class Kept(SpanProcessor):
    """Keeps spans."""

    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []

    def on_end(self, span: ReadableSpan) -> None:
        self.spans.append(span)

    def names(self) -> list[str]:
        return [span.name for span in self.spans]

    def trace_ids(self) -> set[int]:
        return {span.context.trace_id for span in self.spans if span.context is not None}


class Rig:
    """A watch whose spans and metrics can be looked at."""

    def __init__(self, *, ratio: float = 0.0, slow_seconds: float = 60.0, is_on: bool = True) -> None:
        self.kept, self.metrics = Kept(), Metrics()
        tracer = Tracer(span_exporter(self.kept, None), ratio) if is_on else Tracer()
        self.watch = OrchestratorWatch(Telemetry(self.metrics, tracer), slow_seconds)

    def run(
        self, *, parent: TraceContext | None = None, error: BaseException | None = None, num_rounds: int = 1
    ) -> None:
        metadata = [("traceparent", write_traceparent(parent))] if parent is not None else []
        with self.watch.request(metadata) as request:
            request.model = "tiny"
            generation = request.generation("a", TASK)
            for number in range(num_rounds):
                trace = generation.begin_round()
                generation.end_round(ROUND._replace(number=number), trace)
            if error is not None:
                raise error
            generation.finish(SUMMARY)

    def value(self, name: str, *labels: str) -> float:
        [reading] = [one for one in self.metrics.read() if one.info.name == name]
        for point in reading.points:
            if point.labels == labels:
                return sum(point.counts) if isinstance(point, HistogramPoint) else point.value
        return 0


def test_a_request_that_is_not_sampled_and_goes_well_is_counted_and_not_traced():
    rig = Rig()
    rig.run()
    assert rig.kept.spans == []
    assert rig.value("gen_ai.server.request.duration", "tiny", "") == 1
    assert rig.value("paceline.finished_generations", "length") == 1
    assert rig.value("paceline.spec_decode_num_draft_tokens") == 3
    assert rig.value("paceline.spec_decode_num_accepted_tokens") == 2
    assert [
        rig.value("paceline.spec_decode_num_accepted_tokens_per_pos", str(place)) for place in range(3)
    ] == [1, 1, 0]
    assert rig.value("paceline.generation_tokens", "accepted") == 2
    assert rig.value("paceline.generation_tokens", "recovered") == 1
    assert rig.value("paceline.num_sessions", "prefill") == 0
    assert rig.value("paceline.num_sessions", "decoding") == 0


def test_generations_are_counted_by_how_far_they_are():
    rig = Rig()
    with rig.watch.request([]) as request:
        generation = request.generation("a", TASK)
        request.generation("b", TASK)
        generation.end_round(ROUND, None)
        assert rig.value("paceline.num_sessions", "prefill") == 1
        assert rig.value("paceline.num_sessions", "decoding") == 1
        assert rig.watch.metrics.num_running == 2
    assert rig.watch.metrics.num_running == 0


def test_a_sampled_callers_trace_goes_on():
    rig = Rig()
    rig.run(parent=SAMPLED, num_rounds=2)
    spans = {span.name: span for span in rig.kept.spans}
    assert rig.kept.names().count("paceline.round") == 2
    request, generation = spans["text_completion tiny"], spans["paceline.generation"]
    assert request.parent is not None
    assert request.parent.span_id == SAMPLED.span_id
    assert rig.kept.trace_ids() == {SAMPLED.trace_id}
    assert generation.parent == request.context
    round_ = spans["paceline.round"]
    assert round_.attributes is not None
    assert round_.attributes["paceline.part.target_network_seconds"] == pytest.approx(0.005)
    assert [event.name for event in round_.events] == ["paceline.ahead.continued"]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (InvalidRequestError("no"), "INVALID_REQUEST"),
        (asyncio.CancelledError(), "CANCELLED"),
        (ValueError("a bug"), "INTERNAL"),
    ],
)
def test_a_request_that_fails_is_traced_whatever_was_decided(error, reason):
    rig = Rig()
    with pytest.raises(type(error)):
        rig.run(error=error, num_rounds=3, parent=SAMPLED._replace(is_sampled=False))
    assert rig.kept.names().count("paceline.round") == 3
    [request] = [span for span in rig.kept.spans if span.name == "text_completion tiny"]
    assert request.attributes is not None
    assert request.attributes["error.type"] == reason
    assert not request.status.is_ok
    assert rig.kept.trace_ids() == {SAMPLED.trace_id}, "it is still the caller's"
    assert rig.value("gen_ai.server.request.duration", "tiny", reason) == 1
    assert rig.value("paceline.finished_generations", reason) == 1


def test_a_slow_request_is_traced_with_its_last_rounds():
    rig = Rig(slow_seconds=0.0)
    rig.run(num_rounds=300)
    assert rig.kept.names().count("paceline.round") == 256
    last = [span for span in rig.kept.spans if span.name == "paceline.round"][-1]
    assert last.attributes is not None
    assert last.attributes["paceline.round"] == 299


def test_nothing_is_remembered_where_nobody_gets_spans():
    rig = Rig(is_on=False, slow_seconds=0.0)
    rig.run(parent=SAMPLED)
    assert rig.kept.spans == []


def test_the_estimated_speed_up_is_told_by_why_the_length_was_chosen():
    rig = Rig()
    choice = DraftLengthChoice(3, 6, "PAYS", tokens_per_second=30.0, target_only_tokens_per_second=20.0)
    rig.watch.metrics.note_summary(
        "tiny", replace(SUMMARY, speculation=replace(SUMMARY.speculation, choice=choice))
    )
    assert rig.value("paceline.speculation_speedup", "pays") == 1


seconds = st.floats(0, 10)


@given(
    st.lists(seconds, min_size=5, max_size=5),
    st.lists(seconds, min_size=4, max_size=4),
    seconds,
    st.booleans(),
)
def test_the_parts_of_a_round_add_up_to_it(lengths, told, lost, has_draft):
    started_at, marks = 100.0, []
    at = started_at
    for length in lengths:
        at += length
        marks.append(at)
    failover_seconds = min(lost, lengths[2])
    round_ = ROUND._replace(
        times=RoundTimes(started_at, *marks, failover_seconds=failover_seconds),
        draft_timing=RoundTiming(told[0], told[1], 0) if has_draft else None,
        degraded_reason="" if has_draft else "DRAFT_LATE",
        target_timing=RoundTiming(told[2], told[3], 0),
    )
    parts = dict(round_.parts())
    assert sum(parts.values()) == pytest.approx(round_.seconds, abs=1e-9)
    assert parts["orchestrator"] == pytest.approx(lengths[0], abs=1e-9), "what is before the draft is asked"
    assert all(value >= -1e-9 for value in parts.values())
