"""Calls that are refused because of who sent them, or because too much was asked: counted and logged."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from orchestrator.orchestrator_metrics import OrchestratorMetrics
from paceline.errors import PacelineError

# A caller that is refused a thousand times a second fills no log.
_PAUSE_SECONDS = 1.0

_log = structlog.get_logger()


@dataclass
class _Unlogged:
    quiet_until: float = 0.0
    num_refusals: int = 0


class Refusals:
    """The refusals of an orchestrator; of a tenant's with the same reason one a second is logged."""

    def __init__(self, metrics: OrchestratorMetrics, clock: Callable[[], float] = time.monotonic) -> None:
        self._metrics = metrics
        self._clock = clock
        self._unlogged: dict[tuple[str, str], _Unlogged] = {}

    def note(self, tenant: str, error: PacelineError, **about: object) -> None:
        """Take in a refusal; `tenant` is empty where the caller is not known."""
        self._metrics.note_refusal(tenant, error.reason)
        unlogged = self._unlogged.setdefault((tenant, error.reason), _Unlogged())
        unlogged.num_refusals += 1
        now = self._clock()
        if now < unlogged.quiet_until:
            return
        line = {**error.facts, **about, "tenant": tenant, "reason": error.reason}
        _log.info("call_refused", **line, num_refusals=unlogged.num_refusals)
        self._unlogged[tenant, error.reason] = _Unlogged(now + _PAUSE_SECONDS)
