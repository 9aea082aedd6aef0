"""Spans of forward passes, each linked to the rounds that it served: what a batch had in common."""

import asyncio
from collections import deque

from paceline.engine.task import Pass
from paceline.telemetry.trace_context import TraceContext
from paceline.telemetry.tracer import FinishedSpan, Tracer

# Passes that are remembered until the rounds they served are answered.
_NUM_REMEMBERED = 4096
# The rounds of one pass are answered within so much time of each other.
_GATHER_SECONDS = 0.5


class PassTraces:
    """Hears of all passes on the engine's thread, and of traced rounds on the event loop."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer
        self._passes: deque[Pass] = deque(maxlen=_NUM_REMEMBERED)
        self._rounds: dict[int, list[TraceContext]] = {}  # by pass
        self._timer: asyncio.TimerHandle | None = None

    def note_pass(self, ran: Pass) -> None:
        """Remember a pass."""
        self._passes.append(ran)

    def note_round(self, steps: tuple[int, ...], context: TraceContext) -> None:
        """Have the passes of a traced round written down soon, together with the other rounds that they served."""
        for step in steps:
            self._rounds.setdefault(step, []).append(context)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_GATHER_SECONDS, self.flush)

    def flush(self) -> None:
        """Write down what has gathered."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        gathered, self._rounds = self._rounds, {}
        passes = {ran.step: ran for ran in tuple(self._passes) if ran.step in gathered} if gathered else {}
        for step, ran in passes.items():
            self._tracer.record(_span(ran, gathered[step]))


def _span(ran: Pass, rounds: list[TraceContext]) -> FinishedSpan:
    return FinishedSpan(
        "paceline.forward_pass",
        TraceContext.new(1.0),
        None,
        ran.started_ns,
        ran.started_ns + ran.duration_ns,
        {
            "paceline.pass": ran.step,
            "paceline.batch.rows": ran.batch_rows,
            "paceline.batch.sessions": ran.batch_sessions,
        },
        links=rounds,
    )
