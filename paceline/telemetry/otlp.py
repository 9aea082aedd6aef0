"""Metrics and spans on their way to an OTLP receiver, in threads beside the service."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from threading import Event, Thread
from typing import cast

import structlog
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import export as sdk
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import Event as SdkEvent
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, Status, StatusCode, TraceFlags
from opentelemetry.trace import SpanKind as SdkKind

from paceline.telemetry.catalogue import Kind, MetricInfo
from paceline.telemetry.metrics import HistogramPoint, Metrics, Point, Reading
from paceline.telemetry.trace_context import TraceContext
from paceline.telemetry.tracer import FinishedSpan, SpanKind

_SCOPE = InstrumentationScope("paceline")
_KINDS = {
    SpanKind.INTERNAL: SdkKind.INTERNAL,
    SpanKind.SERVER: SdkKind.SERVER,
    SpanKind.CLIENT: SdkKind.CLIENT,
}
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
# Between the monotonic clock, by which all of us measure, and the time of day.
_EPOCH_NS = time.time_ns() - time.monotonic_ns()
_CUMULATIVE = sdk.AggregationTemporality.CUMULATIVE
_LAST_EXPORT_SECONDS = 2.0
_UNKNOWN = cast("float", None)  # the encoder leaves out what is None, as the protocol allows

_log = structlog.get_logger()


def resource_of(program: str, replica_id: str) -> Resource:
    """Return who we are; what the standard OTEL_ variables say of it comes first."""
    ours = Resource.create(
        {
            "service.name": f"paceline-{program.removesuffix('_service')}",
            "service.instance.id": replica_id,
            "service.version": version("paceline"),
        }
    )
    return ours.merge(OTELResourceDetector().detect())


def span_processor(endpoint: str | None) -> BatchSpanProcessor:
    """Return what sends spans to an endpoint; the standard OTEL_EXPORTER_OTLP_* variables say where and how else."""
    return BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint))


def span_exporter(processor: SpanProcessor, resource: Resource | None) -> Callable[[FinishedSpan], None]:
    """Return what hands spans to a processor of the SDK."""
    return lambda span: processor.on_end(_readable(span, resource))


def _readable(span: FinishedSpan, resource: Resource | None) -> ReadableSpan:
    return ReadableSpan(
        name=span.name,
        context=_span_context(span.context),
        parent=_span_context(span.parent) if span.parent is not None else None,
        resource=resource,
        attributes=dict(span.attributes),
        events=[SdkEvent(one.name, dict(one.attributes), _EPOCH_NS + one.at_ns) for one in span.events],
        links=[Link(_span_context(one)) for one in span.links],
        kind=_KINDS[span.kind],
        status=Status(StatusCode.ERROR, span.error) if span.error else Status(),
        start_time=_EPOCH_NS + span.started_ns,
        end_time=_EPOCH_NS + span.ended_ns,
        instrumentation_scope=_SCOPE,
    )


def _span_context(context: TraceContext) -> SpanContext:
    return SpanContext(context.trace_id, context.span_id, is_remote=False, trace_flags=_SAMPLED)


@contextmanager
def exporting(
    metrics: Metrics, resource: Resource, endpoint: str | None, interval_seconds: float
) -> Iterator[None]:
    """Send the metrics at every interval for as long as the block runs, and once more at its end."""
    exporter, started_ns, is_over = OTLPMetricExporter(endpoint=endpoint), time.time_ns(), Event()

    def send(timeout_seconds: float) -> None:
        try:
            data = metrics_data(metrics.read(), resource, started_ns, time.time_ns())
            exporter.export(data, timeout_millis=1000 * timeout_seconds)
        except Exception as error:  # what is wrong with a gauge or a receiver is no reason to stop serving
            _log.warning("metrics_not_sent", error=repr(error))

    def run() -> None:
        while not is_over.wait(interval_seconds):
            send(interval_seconds)
        send(_LAST_EXPORT_SECONDS)
        exporter.shutdown(timeout_millis=0)

    thread = Thread(target=run, name="metrics-export", daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join(2 * _LAST_EXPORT_SECONDS)


def metrics_data(
    readings: Iterator[Reading], resource: Resource, started_ns: int, now_ns: int
) -> sdk.MetricsData:
    """Return readings as OpenTelemetry's data, cumulative since the start; times in nanoseconds of the epoch."""
    metrics = [
        sdk.Metric(one.info.name, one.info.description, one.info.unit, _data(one, started_ns, now_ns))
        for one in readings
    ]
    scope = sdk.ScopeMetrics(_SCOPE, metrics, "")
    return sdk.MetricsData([sdk.ResourceMetrics(resource, [scope], "")])


def _data(reading: Reading, started_ns: int, now_ns: int) -> sdk.Sum | sdk.Gauge | sdk.Histogram:
    info, points = reading.info, reading.points
    if info.kind is Kind.HISTOGRAM:
        return sdk.Histogram(_histogram_points(info, points, started_ns, now_ns), _CUMULATIVE)
    numbers = [
        sdk.NumberDataPoint(_attributes(info, one.labels), started_ns, now_ns, one.value)
        for one in points
        if isinstance(one, Point)
    ]
    if info.kind is Kind.GAUGE:
        return sdk.Gauge(numbers)
    return sdk.Sum(numbers, _CUMULATIVE, is_monotonic=True)


def _histogram_points(
    info: MetricInfo, points: Sequence[Point | HistogramPoint], started_ns: int, now_ns: int
) -> list[sdk.HistogramDataPoint]:
    return [
        sdk.HistogramDataPoint(
            _attributes(info, one.labels),
            started_ns,
            now_ns,
            count=sum(one.counts),
            sum=one.sum,
            bucket_counts=one.counts,
            explicit_bounds=info.bounds,
            min=_UNKNOWN,
            max=_UNKNOWN,
        )
        for one in points
        if isinstance(one, HistogramPoint)
    ]


def _attributes(info: MetricInfo, labels: Sequence[str]) -> dict[str, str]:
    return dict(zip(info.labels, labels, strict=True))
