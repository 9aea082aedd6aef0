"""One session on a pool of scripted targets over real sockets, without an orchestrator around it."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial

from orchestrator.circuit_breaker import CircuitBreaker
from orchestrator.pool import TargetPool
from orchestrator.replica import ReconnectSettings
from orchestrator.replica_client import TargetClient
from orchestrator.replica_liveness import LivenessLimits
from orchestrator.session import Session
from orchestrator.session_record import CacheOwner
from orchestrator.session_target import FailoverSettings, SessionTarget
from paceline.sampling.parameters import SamplingParameters
from tests.orchestrator.rig import TOKENIZER, until
from tests.orchestrator.scripted_model import continuation
from tests.orchestrator.scripted_replicas import ScriptedTarget, serving

PROMPT = tuple(b"the quick brown fox")
QUICK_LIMITS = LivenessLimits(silence_seconds=0.4, min_stall_seconds=0.4)
SETTINGS = FailoverSettings(deadline_seconds=60.0, wait_seconds=20.0, max_failovers=3)


class HeldSession:
    """A session that generates without drafts, and the epochs and owners that it was taken over under."""

    def __init__(
        self, pool: TargetPool, settings: FailoverSettings = SETTINGS, prompt: Sequence[int] = PROMPT
    ) -> None:
        self.session = Session(uuid.uuid4().hex, 1, SamplingParameters(), list(prompt))
        self.owners: list[CacheOwner] = []
        self.target = SessionTarget(self.session, pool, settings, self._take_over)
        self._num_prompt_ids = len(prompt)
        self._round = 0

    async def generate(self, num_ids: int) -> list[int]:
        """Go on for some rounds, and return what was generated so far, which is checked."""
        if self.target.address is None:
            self.owners.append(self.target.bind())
        for _ in range(num_ids):
            verdict = await self.target.verify(self._round, None)
            self.session.ids.extend(verdict.own_ids)
            self._round += 1
        prompt, generated = self.session.ids[: self._num_prompt_ids], self.session.ids[self._num_prompt_ids :]
        assert generated == continuation(prompt, len(generated))
        return generated

    async def _take_over(self, owner: CacheOwner) -> None:
        self.owners.append(owner)
        self.session.epoch += 1


@asynccontextmanager
async def target_pool(
    services: Sequence[ScriptedTarget],
    limits: LivenessLimits = QUICK_LIMITS,
    addresses: Sequence[str] | None = None,
    cool_down_seconds: float = 0.05,
) -> AsyncIterator[TargetPool]:
    """Serve the targets and connect a pool to them, or to `addresses` in front of them."""
    async with serving(*services):
        pool = TargetPool(
            addresses or [one.replica.address for one in services],
            TargetClient,
            TOKENIZER.vocabulary_hash,
            partial(CircuitBreaker, cool_down_seconds, 10.0),
            ReconnectSettings(),
            limits,
        )
        async with pool.connected():
            await until(lambda: len(pool.descriptions) == len(services))
            yield pool


async def generate_together(sessions: Sequence[HeldSession], num_ids: int) -> None:
    """Have all sessions generate side by side."""
    await asyncio.gather(*(session.generate(num_ids) for session in sessions))
