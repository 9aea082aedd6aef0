"""Which trace a piece of work belongs to, as W3C Trace Context has it."""

import random
import re
from typing import NamedTuple

_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_SAMPLED = 0x01
_RATIO_BITS = 64


class TraceContext(NamedTuple):
    """A span of a trace, and whether the trace is recorded by all that take part."""

    trace_id: int
    span_id: int
    is_sampled: bool

    @classmethod
    def new(cls, ratio: float, parent: "TraceContext | None" = None) -> "TraceContext":
        """Return a span of the parent's trace; without one, of a new trace, sampled at that ratio."""
        if parent is not None:
            return parent.child()
        trace_id = random.getrandbits(128) or 1
        return cls(trace_id, _span_id(), _is_within(ratio, trace_id))

    def child(self) -> "TraceContext":
        """Return another span of the same trace."""
        return self._replace(span_id=_span_id())

    @property
    def trace_id_hex(self) -> str:
        """Return the trace as logs and other tools write it."""
        return f"{self.trace_id:032x}"


def read_traceparent(header: str) -> TraceContext | None:
    """Return what a `traceparent` header says; None where it is malformed, as the standard wants it.

    Example: `00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01` is sampled.
    """
    match = _TRACEPARENT.fullmatch(header.strip())
    if match is None or match[1] == "ff" or (match[1] == "00" and match[5]):
        return None
    trace_id, span_id = int(match[2], 16), int(match[3], 16)
    if not trace_id or not span_id:
        return None
    return TraceContext(trace_id, span_id, bool(int(match[4], 16) & _SAMPLED))


def write_traceparent(context: TraceContext) -> str:
    """Return the `traceparent` header of a span."""
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.is_sampled):02x}"


def _is_within(ratio: float, trace_id: int) -> bool:
    """Decide as OpenTelemetry's TraceIdRatioBased does: by the lower half of the id, so that all decide alike."""
    return trace_id & ((1 << _RATIO_BITS) - 1) < round(ratio * (1 << _RATIO_BITS))


def _span_id() -> int:
    return random.getrandbits(64) or 1
