"""Telemetry of one process, from its start to its end."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.metadata import version
from typing import NamedTuple

import structlog

from paceline.telemetry.catalogue import BUILD_INFO
from paceline.telemetry.metrics import Metrics
from paceline.telemetry.tracer import OFF, Tracer

_log = structlog.get_logger()


class TelemetrySettings(NamedTuple):
    """What leaves a process, and how.

    Attributes:
        program: Name of the program.
        replica_id: Name of the process.
        metrics_listen: HOST:PORT to serve Prometheus at; None serves nothing.
        otlp_endpoint: URL of an OTLP receiver; None takes that of the environment.
        metrics_interval_seconds: Between two exports of metrics by OTLP.
        trace_ratio: Share of traces that are recorded, of those that begin here.
    """

    program: str
    replica_id: str
    metrics_listen: str | None = None
    otlp_endpoint: str | None = None
    metrics_interval_seconds: float = 15.0
    trace_ratio: float = 0.05


class Telemetry(NamedTuple):
    """What a process tells of itself: nothing leaves it where nothing else is said."""

    metrics: Metrics
    tracer: Tracer = OFF


@contextmanager
def telemetry(settings: TelemetrySettings) -> Iterator[Telemetry]:
    """Collect, and let leave what the settings say, for as long as the block runs. Raises ConfigError.

    What lets them leave is imported only where some do: it would take a quarter of a second of each start.
    """
    metrics = Metrics()
    metrics.observe(BUILD_INFO, lambda: {(version("paceline"), settings.program): 1.0})
    with ExitStack() as stack:
        if settings.metrics_listen is not None:
            from paceline.telemetry import prometheus  # noqa: PLC0415

            port = stack.enter_context(prometheus.serving(metrics, settings.metrics_listen))
            _log.info("metrics_served", address=settings.metrics_listen, port=port)
        tracer = stack.enter_context(_exporting(metrics, settings)) if _is_sent(settings) else OFF
        yield Telemetry(metrics, tracer)


def _is_sent(settings: TelemetrySettings) -> bool:
    if os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return False
    return bool(settings.otlp_endpoint or os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"))


@contextmanager
def _exporting(metrics: Metrics, settings: TelemetrySettings) -> Iterator[Tracer]:
    from paceline.telemetry import otlp  # noqa: PLC0415

    resource = otlp.resource_of(settings.program, settings.replica_id)
    processor = otlp.span_processor(settings.otlp_endpoint)
    with otlp.exporting(metrics, resource, settings.otlp_endpoint, settings.metrics_interval_seconds):
        try:
            yield Tracer(otlp.span_exporter(processor, resource), settings.trace_ratio)
        finally:
            processor.shutdown()
