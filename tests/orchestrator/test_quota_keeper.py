"""Quotas as two orchestrators hold tenants to them, with Redis and without."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager

import pytest
from structlog.testing import capture_logs

from orchestrator.errors import QuotaExceededError
from orchestrator.quota_keeper import QuotaHold, QuotaKeeper
from orchestrator.session_store import SessionStore, StoreSettings
from orchestrator.tenant import Quotas, Tenant
from tests.orchestrator.rig import until


def tenant(**quotas: int) -> Tenant:
    return Tenant("ann", quotas=Quotas(**quotas))


@asynccontextmanager
async def keepers(url: str, number: int, lease_seconds: float = 10.0) -> AsyncIterator[list[QuotaKeeper]]:
    """Those of orchestrators that share a Redis, none of which tells it anything by itself."""
    settings = StoreSettings(url, lease_seconds=lease_seconds, timeout_seconds=0.5, num_retries=0)
    async with AsyncExitStack() as stack:
        stores = [await stack.enter_async_context(SessionStore.connect(settings)) for _ in range(number)]
        yield [QuotaKeeper(store.quotas, lease_seconds) for store in stores]


@contextmanager
def stopped(redis):
    os.kill(redis.process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(redis.process.pid, signal.SIGCONT)


async def admitted(keeper: QuotaKeeper, who: Tenant, *sessions: str, is_resumed: bool = False) -> QuotaHold:
    return await keeper.admit(who, sessions, is_resumed=is_resumed)


async def refusal(keeper: QuotaKeeper, who: Tenant, *sessions: str, is_resumed: bool = False) -> str:
    with pytest.raises(QuotaExceededError) as caught:
        await admitted(keeper, who, *sessions, is_resumed=is_resumed)
    assert caught.value.facts["limit"] == getattr(who.quotas, str(caught.value.facts["quota"]))
    assert float(str(caught.value.facts["retry_after_seconds"])) > 0
    return str(caught.value.facts["quota"])


async def test_requests_count_over_all_orchestrators(redis):
    async with keepers(redis.url, 2) as (one, other):
        ann = tenant(requests_per_minute=3)
        for keeper in (one, other, one):
            await admitted(keeper, ann, "a")
        assert await refusal(other, ann, "a") == "requests_per_minute"


async def test_a_refusal_is_known_without_asking_again_until_it_may_be_over(redis):
    now = 1000.0
    async with SessionStore.connect(StoreSettings(redis.url)) as store:
        keeper = QuotaKeeper(store.quotas, 10.0, lambda: now)
        ann = tenant(requests_per_minute=1)
        keeper.check(ann)
        await admitted(keeper, ann, "a")
        keeper.check(ann)
        await refusal(keeper, ann, "a")
        with stopped(redis), pytest.raises(QuotaExceededError):
            keeper.check(ann)
        keeper.check(tenant(requests_per_minute=2))
        await refusal(keeper, ann, "a")
        now += 63
        keeper.check(ann)


async def test_tokens_are_told_beside_the_requests_and_refuse_the_next_one_everywhere(redis):
    async with keepers(redis.url, 2) as (one, other):
        ann = tenant(tokens_per_minute=100)
        hold = await admitted(one, ann, "a")
        hold.spend(250)
        await admitted(other, ann, "b")
        await one.settle()
        assert await refusal(other, ann, "c") == "tokens_per_minute"
        hold.spend(5)  # it goes on


async def test_a_resumed_session_is_not_a_new_one(redis):
    async with keepers(redis.url, 2) as (one, other):
        ann = tenant(max_sessions=1, requests_per_minute=1, tokens_per_minute=10)
        (await admitted(one, ann, "a")).spend(99)
        await one.settle()
        await admitted(other, ann, "a", is_resumed=True)
        assert await refusal(other, ann, "b", is_resumed=True) == "max_sessions"


async def test_a_session_that_has_ended_makes_room_at_once_everywhere(redis):
    async with keepers(redis.url, 2) as (one, other):
        ann = tenant(max_sessions=1)
        for _ in range(3):
            hold = await admitted(one, ann, "a")
            assert await refusal(other, ann, "b") == "max_sessions"
            await hold.end()
            await hold.end()
            await (await admitted(other, ann, "b")).end()


async def test_a_session_that_is_resumed_where_it_still_ends_goes_on_counting(redis):
    async with keepers(redis.url, 2) as (one, other):
        ann = tenant(max_sessions=1)
        ending = await admitted(one, ann, "a")
        resumed = await admitted(one, ann, "a", is_resumed=True)
        await ending.end()
        assert await refusal(other, ann, "b") == "max_sessions"
        await resumed.end()
        await admitted(other, ann, "b")


async def test_sessions_that_run_for_longer_than_a_lease_count_on(redis):
    async with keepers(redis.url, 2, lease_seconds=0.3) as (one, other):
        ann = tenant(max_sessions=1)
        await admitted(one, ann, "a")
        running = asyncio.create_task(one.run())
        await asyncio.sleep(0.6)
        assert await refusal(other, ann, "b") == "max_sessions"
        running.cancel()

        async def is_admitted() -> bool:
            try:
                await admitted(other, ann, "b")
            except QuotaExceededError:
                return False
            return True

        await until(is_admitted)


async def test_without_redis_each_orchestrator_counts_alone_and_tells_of_it_later(redis):
    async with keepers(redis.url, 2) as (one, other):
        ann = tenant(requests_per_minute=2, max_sessions=5)
        with capture_logs() as lines:
            with stopped(redis):
                await admitted(one, ann, "a")
                await admitted(one, ann, "b")
                assert await refusal(one, ann, "c") == "requests_per_minute"
            await one.settle()
            assert await refusal(other, ann, "d") == "requests_per_minute"
        assert [line["event"] for line in lines] == ["quotas_counted_alone", "quotas_counted_together"]


async def test_without_redis_sessions_are_held_to_their_number_too(redis):
    async with keepers(redis.url, 1) as (one,):
        ann = tenant(max_sessions=1)
        with stopped(redis):
            hold = await admitted(one, ann, "a")
            assert await refusal(one, ann, "b") == "max_sessions"
            await hold.end()
            await admitted(one, ann, "b")


async def test_a_tenant_without_quotas_needs_no_redis(redis):
    async with keepers(redis.url, 1) as (one,):
        with stopped(redis), capture_logs() as lines:
            hold = await admitted(one, Tenant("ann"), "a")
            hold.spend(10)
            await hold.end()
            await one.settle(renews=True)
        assert lines == []
