"""What tenants use, counted in a real Redis."""

import asyncio
from typing import Any

import pytest
from redis.asyncio import Redis

from orchestrator import quota_store
from orchestrator.quota_store import QuotaStore, Usage
from orchestrator.session_store import SessionStore, StoreSettings
from orchestrator.tenant import Quotas
from tests.orchestrator.rig import until

MINUTE = "paceline:quotas:{ann}:minute"
NOTHING = Usage()


@pytest.fixture
async def store(redis, monkeypatch):
    monkeypatch.setattr(quota_store, "_PATIENCE_SECONDS", 10.0)  # however busy this machine is
    async with SessionStore.connect(StoreSettings(redis.url, lease_seconds=5.0)) as store:
        yield store.quotas


@pytest.fixture
async def client(redis):
    async with Redis.from_url(redis.url) as client:
        yield client


async def refused(store: QuotaStore, quotas: Quotas, *sessions: str, usage: Usage = NOTHING) -> str:
    """The quota that refuses one more request of ann's; empty where none does."""
    used_up = await store.admit("ann", quotas, usage, sessions)
    return used_up.quota if used_up is not None else ""


async def let_pass(client: Redis, num_slots: int) -> None:
    """Have all that was counted be older."""
    used: Any = await client.hgetall(MINUTE)
    await client.delete(MINUTE)
    for name, amount in used.items():
        kind, _, slot = name.decode().partition(":")
        await client.hset(MINUTE, f"{kind}:{int(slot) - num_slots}", amount)


async def test_requests_are_admitted_up_to_their_number_and_again_after_a_minute(store, client):
    quotas = Quotas(requests_per_minute=3)
    assert [await refused(store, quotas) for _ in range(5)] == ["", "", "", *["requests_per_minute"] * 2]
    used_up = await store.admit("ann", quotas, NOTHING, ())
    assert used_up is not None
    assert 56 < used_up.wait_seconds <= 62
    await let_pass(client, 25)
    assert await refused(store, quotas) == "requests_per_minute"
    await let_pass(client, 6)
    assert await refused(store, quotas) == ""
    assert len(await client.hgetall(MINUTE)) == 1, "what no longer counts is not kept"
    assert 0 < await client.ttl(MINUTE) <= 64


async def test_tokens_refuse_the_next_request_and_are_never_refused_themselves(store):
    quotas = Quotas(tokens_per_minute=10)
    assert await refused(store, quotas, usage=Usage(num_tokens=9)) == ""
    await store.settle("ann", Usage(num_tokens=500), ())
    assert await refused(store, quotas) == "tokens_per_minute"
    assert await refused(store, Quotas(tokens_per_minute=510)) == ""


async def test_what_was_used_before_counts_for_the_request_that_tells_of_it(store):
    assert await refused(store, Quotas(tokens_per_minute=10), usage=Usage(0, 10)) == "tokens_per_minute"
    assert await refused(store, Quotas(requests_per_minute=2), usage=Usage(2, 0)) == "requests_per_minute"


async def test_a_request_that_is_refused_is_not_counted(store, client):
    quotas = Quotas(max_sessions=1, requests_per_minute=100)
    assert await refused(store, quotas, "a") == ""
    before = await client.hgetall(MINUTE)
    assert [await refused(store, quotas, "b") for _ in range(3)] == ["max_sessions"] * 3
    assert await client.hgetall(MINUTE) == before


async def test_sessions_are_counted_once_until_they_end(store):
    quotas = Quotas(max_sessions=2)
    assert await refused(store, quotas, "a", "b") == ""
    assert await refused(store, quotas, "c") == "max_sessions"
    assert await refused(store, quotas, "a") == "", "it is resumed"
    assert await refused(store, quotas, "c", usage=Usage(ended_sessions=("a",))) == ""
    assert await refused(store, Quotas(max_sessions=1), "b") == "", "a lower quota ends nothing"
    assert await refused(store, Quotas(max_sessions=1), "d") == "max_sessions"


async def test_tenants_and_installations_do_not_count_for_each_other(redis, store):
    quotas = Quotas(max_sessions=1, requests_per_minute=1)
    assert await refused(store, quotas, "a") == ""
    assert await store.admit("bob", quotas, NOTHING, ["b"]) is None
    async with SessionStore.connect(StoreSettings(redis.url, prefix="other")) as other:
        assert await refused(other.quotas, quotas, "c") == ""


async def test_of_requests_at_once_no_more_are_admitted_than_may_be(store):
    quotas = Quotas(max_sessions=7)
    outcomes = await asyncio.gather(*(refused(store, quotas, f"s{number}") for number in range(30)))
    assert outcomes.count("") == 7


async def test_the_sessions_of_an_orchestrator_that_is_gone_do_not_count_for_ever(redis):
    quotas = Quotas(max_sessions=1)
    async with SessionStore.connect(StoreSettings(redis.url, lease_seconds=0.2)) as store:
        assert await refused(store.quotas, quotas, "a") == ""
        assert await refused(store.quotas, quotas, "b") == "max_sessions"

        async def is_admitted() -> bool:
            return await refused(store.quotas, quotas, "b") == ""

        await until(is_admitted)


async def test_no_key_stays(store, client):
    await refused(store, Quotas(max_sessions=1, requests_per_minute=9), "a")
    for key in await client.keys("paceline:quotas:*"):
        assert 0 < await client.pttl(key) <= 64_000
