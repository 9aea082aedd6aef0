"""A pod on one machine: one process with an address of its own, probed, and ended as its manifest says."""

import asyncio
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

from paceline.local.process import Command
from tests.chaos.deployment import Deployment
from tests.chaos.health import succeeds
from tests.chaos.node import POLL_SECONDS, Node


class PodEnd(NamedTuple):
    """When a pod was told to end, when its process got SIGTERM, and when that was gone, on the monotonic clock."""

    ordered_at: float
    signalled_at: float
    gone_at: float


class Pod:
    """One replica of a deployment, from its start to its end.

    `changed` hears of whatever others go by: that it is there, is ready or no longer, and ends.

    Attributes:
        host: Its address.
        is_ready: What its readiness probe says.
        is_ending: Whether it was told to end.
        ready_seconds: From its start until it was ready for the first time; None before.
    """

    def __init__(
        self, deployment: Deployment, host: str, command: Command, log_path: Path, changed: Callable[[], None]
    ) -> None:
        self.host = host
        self.node = Node(command, log_path, partial(succeeds, deployment.readiness, host))
        self.is_ready = False
        self.is_ending = False
        self.ready_seconds: float | None = None
        self._deployment = deployment
        self._changed = changed
        self._started_at = time.monotonic()
        self._ready_at = 0.0
        self._probing: asyncio.Task[None] | None = None

    @property
    def name(self) -> str:
        return self.node.name

    @property
    def address(self) -> str:
        """HOST:PORT."""
        return f"{self.host}:{self._deployment.service_port}"

    @property
    def is_endpoint(self) -> bool:
        """Whether a Service leads to it."""
        return self.is_ready and not self.is_ending

    async def start(self) -> None:
        """Start the process, and probe it from then on."""
        self._started_at = time.monotonic()
        await self.node.start()
        self._probing = asyncio.create_task(self._probe())
        self._changed()

    async def until_available(self) -> None:
        """Wait until it has been ready for long enough; raises RuntimeError where the process has ended."""
        while not (self.is_ready and time.monotonic() - self._ready_at >= self._deployment.min_ready_seconds):
            if self.node.failures:
                raise RuntimeError(f"{self.node.failures}; see {self.node.log_path}")
            await asyncio.sleep(POLL_SECONDS)

    async def end(self) -> PodEnd:
        """End it: no endpoint any more, the preStop hook, SIGTERM, and SIGKILL when its grace period is over.

        SIGKILL and any exit code but 0 are failures of its node.
        """
        ordered_at = time.monotonic()
        self.is_ending = True
        self._changed()
        self._stop_probing()
        await asyncio.sleep(self._deployment.pre_stop_seconds)
        signalled_at = time.monotonic()
        await self.node.drain(self._deployment.grace_seconds - self._deployment.pre_stop_seconds)
        return PodEnd(ordered_at, signalled_at, time.monotonic())

    async def stop(self) -> None:
        """End the process if it runs; nobody is to be told any more."""
        self._stop_probing()
        await self.node.stop()

    def _stop_probing(self) -> None:
        if self._probing is not None:
            self._probing.cancel()

    async def _probe(self) -> None:
        num_failures = 0
        while True:
            num_failures = 0 if await self.node.is_ready() else num_failures + 1
            if num_failures == 0:
                self._note(is_ready=True)
            elif num_failures >= self._deployment.readiness.failure_threshold:
                self._note(is_ready=False)
            has_started = self.ready_seconds is not None
            probe = self._deployment.readiness if has_started else self._deployment.startup
            await asyncio.sleep(probe.period_seconds)

    def _note(self, *, is_ready: bool) -> None:
        if is_ready == self.is_ready:
            return
        self.is_ready = is_ready
        if is_ready:
            self._ready_at = time.monotonic()
            self.ready_seconds = self.ready_seconds or self._ready_at - self._started_at
            self.node.give_way()  # a pod that starts has cores of its own in a cluster
        self._changed()
