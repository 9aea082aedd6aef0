"""What tenants use, counted in Redis over all orchestrators. This module and quota_store.lua own the keys of it."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from orchestrator.lua_script import LuaScript
from orchestrator.redis_connection import RedisClient, unavailable_if_redis_fails
from orchestrator.redis_watch import RedisWatch
from orchestrator.session_fields import Value
from orchestrator.tenant import Quotas

_SCRIPT = LuaScript(Path(__file__).with_name("quota_store.lua"))
# A request is counted by this orchestrator alone rather than held up for longer.
_PATIENCE_SECONDS = 0.25


class Usage(NamedTuple):
    """What a tenant has used at this orchestrator since the store was last told."""

    num_requests: int = 0
    num_tokens: int = 0
    ended_sessions: tuple[str, ...] = ()


class UsedUp(NamedTuple):
    """The quota that refuses a request, and the seconds until it may not; 0 where that is not known."""

    quota: str
    wait_seconds: float


class QuotaStore:
    """Counts what tenants use, each tenant's in one slot of a cluster.

    What is told in a call whose answer is lost may be counted twice. Raises SessionStoreUnavailableError where Redis
    does not answer at once.
    """

    def __init__(self, redis: RedisClient, prefix: str, lease_seconds: float, watch: RedisWatch) -> None:
        self._redis = redis
        self._prefix = prefix
        self._lease_ms = round(lease_seconds * 1000)
        self._watch = watch

    async def admit(
        self, tenant: str, quotas: Quotas, usage: Usage, session_ids: Sequence[str]
    ) -> UsedUp | None:
        """Count one more request and its sessions unless a quota is used up, which is returned then."""
        limits = (quotas.requests_per_minute, quotas.tokens_per_minute, quotas.max_sessions)
        texts = ["" if limit is None else limit for limit in limits]
        quota, wait_ms = await self._run(tenant, "admit", *texts, *self._arguments(usage, session_ids))
        return UsedUp(quota.decode(), wait_ms / 1000) if quota else None

    async def settle(self, tenant: str, usage: Usage, running_sessions: Sequence[str]) -> None:
        """Tell what was used, and have the sessions that run count for another lease."""
        await self._run(tenant, "settle", *self._arguments(usage, running_sessions))

    def _arguments(self, usage: Usage, session_ids: Sequence[str]) -> tuple[Value, ...]:
        ended = usage.ended_sessions
        return usage.num_requests, usage.num_tokens, self._lease_ms, len(ended), *ended, *session_ids

    async def _run(self, tenant: str, command: str, *arguments: Value) -> list[Any]:
        # The braces keep the keys of a tenant in one slot of a cluster.
        family = f"{self._prefix}:quotas:{{{tenant}}}"
        parts = (2, f"{family}:minute", f"{family}:sessions", command, *arguments)
        with self._watch.timing(command), unavailable_if_redis_fails():
            async with asyncio.timeout(_PATIENCE_SECONDS):
                return await _SCRIPT.run(self._redis, *parts)
