"""The spans of one round."""

from typing import NamedTuple

from paceline.telemetry.trace_context import TraceContext


class RoundTrace(NamedTuple):
    """The spans of a round, given out before it runs so that those of replicas can be parts of them."""

    round: TraceContext
    propose: TraceContext
    verify: TraceContext

    @classmethod
    def of(cls, generation: TraceContext) -> "RoundTrace":
        """Return new ones in a generation's trace."""
        return cls(generation.child(), generation.child(), generation.child())
