"""A call as part of its caller's trace, where the application uses OpenTelemetry; nothing is imported where not."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from paceline.telemetry.trace_context import TraceContext, write_traceparent

Metadata = tuple[tuple[str, str], ...]


@contextmanager
def traced_call(name: str, **attributes: str | int) -> Iterator[Metadata]:
    """Record a span for as long as the block runs; yields the metadata that makes the service's spans parts of it.

    An application that has not configured OpenTelemetry's SDK records nothing, but passes on a trace that it is in.
    """
    api = sys.modules.get("opentelemetry.trace")
    if api is None:
        yield ()
        return
    # Not the current span of its block: an asynchronous generator may be closed in another context.
    span = api.get_tracer("paceline.client").start_span(name, kind=api.SpanKind.CLIENT, attributes=attributes)
    try:
        yield _metadata(span.get_span_context())
    except Exception as error:
        span.set_status(api.StatusCode.ERROR, str(error))
        span.set_attribute("error.type", getattr(error, "reason", type(error).__name__))
        raise
    finally:
        span.end()


def _metadata(context: Any) -> Metadata:
    if not context.is_valid:
        return ()
    span = TraceContext(context.trace_id, context.span_id, bool(context.trace_flags.sampled))
    return (("traceparent", write_traceparent(span)),)
