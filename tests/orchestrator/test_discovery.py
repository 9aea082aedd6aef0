"""Pools whose replicas come and go in DNS."""

from contextlib import asynccontextmanager
from functools import partial

import pytest

from orchestrator.circuit_breaker import CircuitBreaker
from orchestrator.discovery import DnsName, Places, resolve_dns
from orchestrator.pool import Discovery, TargetPool
from orchestrator.replica import ReconnectSettings
from orchestrator.replica_client import TargetClient
from tests.orchestrator.rig import TOKENIZER, ids_request, orchestrating, target, until
from tests.orchestrator.scripted_replicas import serving

NAME = DnsName("targets.example", 7001)


class Records:
    """What a name resolves to; None where nobody answers."""

    def __init__(self) -> None:
        self.addresses: list[str] | None = []
        self.num_asked = 0

    async def resolve(self, name: DnsName) -> list[str]:
        assert name == NAME
        self.num_asked += 1
        if self.addresses is None:
            raise OSError("Name or service not known")
        return self.addresses

    async def until_asked_again(self) -> None:
        num = self.num_asked
        await until(lambda: self.num_asked > num + 1)


@asynccontextmanager
async def following(records: Records):
    pool = TargetPool(
        ("dns:targets.example:7001",),
        TargetClient,
        TOKENIZER.vocabulary_hash,
        partial(CircuitBreaker, 0.5, 30.0),
        ReconnectSettings(),
        discovery=Discovery(records.resolve, 0.01),
    )
    async with pool.connected():
        yield pool


def test_names_and_addresses_are_told_apart():
    assert Places.of(("192.0.2.1:7001", "dns:draft.ns.svc:7001", "unix:/run/x.sock")) == (
        ("192.0.2.1:7001", "unix:/run/x.sock"),
        (("draft.ns.svc", 7001),),
    )


async def test_replicas_are_met_as_they_appear_and_forgotten_once_they_are_gone():
    records, first, second = Records(), target(0), target(1)
    async with following(records) as pool:
        async with serving(first), serving(second):
            assert pool.choose() is None
            records.addresses = [first.replica.address]
            await until(lambda: len(pool.descriptions) == 1)
            records.addresses = [first.replica.address, second.replica.address]
            await until(lambda: len(pool.descriptions) == 2)
            records.addresses = [second.replica.address]
            await records.until_asked_again()
            assert len(pool.descriptions) == 2, "one that drains leaves DNS first, and its rounds go on"
        await until(lambda: [one.address for one in pool.replicas] == [second.replica.address])
        assert not pool.descriptions, "the other one is looked for"


async def test_an_outage_of_dns_loses_no_replica():
    records, only = Records(), target(0)
    async with following(records) as pool, serving(only):
        records.addresses = [only.replica.address]
        await until(lambda: len(pool.descriptions) == 1)
        records.addresses = None
        await records.until_asked_again()
        assert pool.choose() is not None


async def test_a_name_of_this_machine_is_resolved():
    assert await resolve_dns(DnsName("localhost", 7001)) in (
        ["127.0.0.1:7001"],
        ["[::1]:7001", "127.0.0.1:7001"],
        ["127.0.0.1:7001", "[::1]:7001"],
    )
    with pytest.raises(OSError, match=r"."):
        await resolve_dns(DnsName("no-such-name.invalid", 7001))


async def test_a_generation_runs_over_a_name(redis):
    replica = target()
    async with serving(replica):
        port = replica.replica.address.rpartition(":")[2]
        async with orchestrating(redis.url, [], target_addresses=(f"dns:localhost:{port}",)) as rig:
            await until(lambda: len(rig.target_pool.descriptions) == 1)
            assert len((await rig.client.complete(ids_request((1, 2, 3), 8))).token_ids) == 8
