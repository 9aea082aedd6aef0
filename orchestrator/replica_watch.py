"""Watches one stream for a replica that hangs: one task, however many rounds wait."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from orchestrator.replica_liveness import Liveness, LivenessLimits, liveness
from orchestrator.replica_pulse import ReplicaPulse
from orchestrator.waiting_rounds import WaitingRounds

_LOOKS_PER_SILENCE = 8


class Loss(NamedTuple):
    """Why a stream has ended: a reason for machines and what happened, for people."""

    reason: str
    cause: str


class ReplicaWatch:
    """Compares a replica's pulse with what it owes, several times within the shortest silence that counts.

    `probe` asks a replica that has never sent progress whether it is there. Time in which this process itself did not
    run, stopped or overloaded, counts against nobody.
    """

    def __init__(
        self,
        pulse: ReplicaPulse,
        waiting: WaitingRounds,
        limits: LivenessLimits,
        probe: Callable[[], Awaitable[bool]],
    ) -> None:
        self._pulse = pulse
        self._waiting = waiting
        self._limits = limits
        self._probe = probe
        self._watched_since = time.monotonic()

    async def until_hung(self) -> Loss:
        """Return why the replica has to be given up, once it has to."""
        while True:
            await self._sleep()
            if (loss := await self._look()) is not None:
                return loss

    async def _sleep(self) -> None:
        interval = self._limits.silence_seconds / _LOOKS_PER_SILENCE
        began_at = time.monotonic()
        await asyncio.sleep(interval)
        if time.monotonic() - began_at > 2 * interval:
            self._watched_since = time.monotonic()

    async def _look(self) -> Loss | None:
        owed = self._waiting.owed(self._watched_since)
        if owed is None:
            return None
        now = time.monotonic()
        seconds = now - max(self._pulse.heard_at, owed.since)
        match liveness(self._pulse, owed, now, self._limits):
            case Liveness.ALIVE:
                return None
            case Liveness.SILENT:
                return Loss("SILENT", f"nothing came from it for {seconds:.1f} seconds")
            case Liveness.STALLED:
                self._pulse.note_stall()
                still_seconds = now - max(self._pulse.grew_at, owed.since)
                return Loss("SILENT", f"its engine ran no pass for {still_seconds:.1f} seconds")
            case Liveness.UNCERTAIN:
                return await self._ask_whether_it_is_there()

    async def _ask_whether_it_is_there(self) -> Loss | None:
        if await self._probe():
            self._pulse.hear(time.monotonic())
            return None
        return Loss("SILENT", "it answered neither its rounds nor GetModel")
