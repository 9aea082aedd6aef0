"""Generations of an orchestrator that shuts down: short ones end, long ones are handed over to their clients."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from orchestrator.choices import Choices
from paceline.serving.errors import DrainingError


class Handover:
    """Interrupts the generations that still run `grace_seconds` after `draining` was set.

    Their clients get DRAINING after the round that runs, and resume at another orchestrator with the rollback token
    that they have; the caches wait for it.
    """

    def __init__(self, draining: asyncio.Event, grace_seconds: float) -> None:
        self._draining = draining
        self._grace_seconds = grace_seconds
        self._running: set[Choices] = set()
        self._watch: asyncio.Task[None] | None = None

    @contextmanager
    def watching(self, choices: Choices) -> Iterator[None]:
        """Interrupt choices, if it comes to it, for as long as the block runs."""
        # It is done where a call was admitted just before the end.
        if self._watch is None or self._watch.done():
            self._watch = asyncio.create_task(self._run())
        self._running.add(choices)
        try:
            yield
        finally:
            self._running.discard(choices)
            self._stop_if_idle()

    def _stop_if_idle(self) -> None:
        if self._watch is not None and not self._running:
            self._watch.cancel()
            self._watch = None

    async def _run(self) -> None:
        await self._draining.wait()
        await asyncio.sleep(self._grace_seconds)
        for choices in self._running:
            choices.interrupt(draining_error())


def draining_error() -> DrainingError:
    """Return the error that sends a client to another orchestrator."""
    return DrainingError("the orchestrator is shutting down; go on at another one")
