"""A receiver of OTLP over gRPC, as a collector is one: it keeps what it gets."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2, metrics_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

Attributes = dict[str, Any]


@dataclass(frozen=True)
class ReceivedSpan:
    """A span as it came; times in nanoseconds of the epoch, ids in hex."""

    service: str
    name: str
    trace_id: str
    span_id: str
    parent_id: str
    kind: int
    started_ns: int
    ended_ns: int
    attributes: Attributes
    events: tuple[str, ...]
    links: tuple[str, ...]
    is_error: bool

    @property
    def seconds(self) -> float:
        return (self.ended_ns - self.started_ns) / 1e9


@dataclass(frozen=True)
class ReceivedMetric:
    """A metric as it came last."""

    name: str
    unit: str
    description: str
    kind: str  # "sum", "gauge" or "histogram"
    points: tuple[tuple[Attributes, Any], ...]


@dataclass
class OtlpReceiver:
    """What has arrived; metrics by service, instance and name."""

    endpoint: str = ""
    spans: list[ReceivedSpan] = field(default_factory=list)
    metrics: dict[tuple[str, str, str], ReceivedMetric] = field(default_factory=dict)
    resources: list[Attributes] = field(default_factory=list)

    def of(self, service: str) -> dict[str, ReceivedMetric]:
        """The metrics of all instances of a service by name; of several, those that came last."""
        return {name: one for (owner, _, name), one in self.metrics.items() if owner == service}

    def take_spans(self, request: trace_service_pb2.ExportTraceServiceRequest) -> None:
        for resource in request.resource_spans:
            about = _attributes(resource.resource.attributes)
            self.resources.append(about)
            for scope in resource.scope_spans:
                self.spans += [_span(about["service.name"], one) for one in scope.spans]

    def take_metrics(self, request: metrics_service_pb2.ExportMetricsServiceRequest) -> None:
        for resource in request.resource_metrics:
            about = _attributes(resource.resource.attributes)
            self.resources.append(about)
            for scope in resource.scope_metrics:
                for one in scope.metrics:
                    key = (about["service.name"], about["service.instance.id"], one.name)
                    self.metrics[key] = _metric(one)


class _Traces(trace_service_pb2_grpc.TraceServiceServicer):
    def __init__(self, receiver: OtlpReceiver) -> None:
        self._receiver = receiver

    def Export(self, request: Any, context: Any) -> trace_service_pb2.ExportTraceServiceResponse:  # noqa: N802
        self._receiver.take_spans(request)
        return trace_service_pb2.ExportTraceServiceResponse()


class _Metrics(metrics_service_pb2_grpc.MetricsServiceServicer):
    def __init__(self, receiver: OtlpReceiver) -> None:
        self._receiver = receiver

    def Export(self, request: Any, context: Any) -> metrics_service_pb2.ExportMetricsServiceResponse:  # noqa: N802
        self._receiver.take_metrics(request)
        return metrics_service_pb2.ExportMetricsServiceResponse()


@contextmanager
def otlp_receiver(address: str = "127.0.0.1:0") -> Iterator[OtlpReceiver]:
    """Receive inside the block, at `endpoint`, in threads of its own."""
    receiver, server = OtlpReceiver(), grpc.server(ThreadPoolExecutor(2))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(_Traces(receiver), server)
    metrics_service_pb2_grpc.add_MetricsServiceServicer_to_server(_Metrics(receiver), server)
    host = address.rpartition(":")[0]
    receiver.endpoint = f"http://{host}:{server.add_insecure_port(address)}"
    server.start()
    try:
        yield receiver
    finally:
        server.stop(0)


def _span(service: str, span: Any) -> ReceivedSpan:
    return ReceivedSpan(
        service,
        span.name,
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        span.kind,
        span.start_time_unix_nano,
        span.end_time_unix_nano,
        _attributes(span.attributes),
        tuple(one.name for one in span.events),
        tuple(one.span_id.hex() for one in span.links),
        span.status.code == 2,
    )


def _metric(metric: Any) -> ReceivedMetric:
    kind = metric.WhichOneof("data")
    assert kind is not None, metric
    points = tuple((_attributes(point.attributes), point) for point in getattr(metric, kind).data_points)
    return ReceivedMetric(metric.name, metric.unit, metric.description, kind, points)


def _attributes(pairs: Any) -> Attributes:
    return dict(_pairs(pairs))


def _pairs(pairs: Any) -> Iterator[tuple[str, Any]]:
    for pair in pairs:
        assert isinstance(pair, KeyValue)
        yield pair.key, _value(pair.value)


def _value(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(one) for one in value.array_value.values]
    return getattr(value, kind) if kind is not None else None
