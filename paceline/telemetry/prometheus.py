"""Metrics in Prometheus' text format, over HTTP."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import accumulate

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from paceline.errors import ConfigError
from paceline.telemetry.catalogue import Kind
from paceline.telemetry.metrics import HistogramPoint, Metrics, Point, Reading

CONTENT_TYPE = CONTENT_TYPE_LATEST

Families = CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily


class MetricsCollector(Collector):
    """What Prometheus' own library asks for the families of a process."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Families]:
        """Yield all families."""
        return map(_family, self._metrics.read())


@contextmanager
def serving(metrics: Metrics, address: str) -> Iterator[int]:
    """Serve /metrics at HOST:PORT for as long as the block runs; yields the port. Raises ConfigError."""
    host, _, port = address.rpartition(":")
    try:
        server, thread = start_http_server(int(port), host.strip("[]"), _registry(metrics))
    except OSError as error:
        raise ConfigError(
            f"--metrics-listen {address}: the address cannot be listened on: {error.strerror}",
            setting="metrics_listen",
        ) from error
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def metrics_page(metrics: Metrics) -> bytes:
    """Return what `serving` would serve now."""
    return generate_latest(_registry(metrics))


def _registry(metrics: Metrics) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(MetricsCollector(metrics))
    return registry


def _family(reading: Reading) -> Families:
    info = reading.info
    labels = [name.replace(".", "_") for name in info.labels]
    about = (info.prometheus_name, info.description)
    if info.kind is Kind.HISTOGRAM:
        family = HistogramMetricFamily(*about, labels=labels)
        for point in reading.points:
            assert isinstance(point, HistogramPoint)
            bounds = [*map(str, info.bounds), "+Inf"]
            buckets = list(zip(bounds, accumulate(point.counts), strict=True))
            family.add_metric(point.labels, buckets, point.sum)
        return family
    make = CounterMetricFamily if info.kind is Kind.COUNTER else GaugeMetricFamily
    family = make(*about, labels=labels)
    for point in reading.points:
        assert isinstance(point, Point)
        family.add_metric(point.labels, point.value)
    return family
