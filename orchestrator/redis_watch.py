"""How long Redis takes, and how often it fails."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from paceline.telemetry import catalogue
from paceline.telemetry.metrics import Metrics


class RedisWatch:
    """The metrics of calls to Redis; calls that go together count as one, of the first one's command."""

    def __init__(self, metrics: Metrics) -> None:
        self._seconds = metrics.histogram(catalogue.REDIS_DURATION)
        self._errors = metrics.counter(catalogue.REDIS_ERRORS)

    @contextmanager
    def timing(self, command: str) -> Iterator[None]:
        """Time a call for as long as the block runs; an exception that leaves it is a failure."""
        started_at = time.monotonic()
        try:
            yield
        except Exception:
            self._errors.labelled(command).add()
            raise
        finally:
            self._seconds.labelled(command).record(time.monotonic() - started_at)
