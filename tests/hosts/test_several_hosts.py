"""Every process on a host of its own: they find each other by name, and a host that is cut off writes nothing twice."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.chaos.aftermath import alarming_lines, owner_of, stored_state
from tests.chaos.record import Record
from tests.chaos.run import leftovers
from tests.chaos.topology import REDIS
from tests.hosts.cluster import NAMES, SESSION_IDLE_SECONDS, SPARE, TOPOLOGY, HostCluster, host_cluster
from tests.hosts.late_round import refusal_of_late_round
from tests.hosts.network import refusal
from tests.hosts.stage import (
    POLL_SECONDS,
    Stage,
    generating,
    late_writes,
    those_at,
    those_of,
    until_at,
    until_of,
    ways_to,
    writers,
)
from tests.hosts.switch import Quality, Way, around, between

pytestmark = pytest.mark.asyncio(loop_scope="module")

SLOW = Quality(delay_seconds=0.1, loss_interval=50)
# A lost connection is noticed instead of the silence where this machine is too busy to count the silence.
CUT_OFF_REASONS = {"SILENT", "CONNECTION_LOST"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage() -> AsyncIterator[Stage]:
    """A cluster for all tests; when they are over nothing may be left of them."""
    if (why := refusal()) is not None:
        pytest.skip(why)
    with tempfile.TemporaryDirectory(prefix="paceline-") as directory:
        async with host_cluster(Path(directory)) as cluster:
            stage = await Stage.set_up(cluster)
            yield stage
            record = Record(session_ids=stage.session_ids)
            assert await leftovers(cluster, record, SESSION_IDLE_SECONDS) == []
        assert [failure for node in cluster.nodes.values() for failure in node.failures] == []
        assert alarming_lines(cluster) == []


async def test_a_host_that_joins_gets_sessions_and_nobody_notices_when_it_goes(stage: Stage) -> None:
    cluster = stage.cluster
    async with cluster.joined(SPARE):
        await cluster.until_known(*TOPOLOGY.targets, SPARE)
        async with generating(stage) as streams:
            moving = await those_at(cluster, streams, SPARE)
            assert moving
            await cluster.publish(*TOPOLOGY.targets)
            await cluster.nodes[SPARE].drain()
            for stream in streams:
                await stream.until(len(stream.ids) + 1)
    for stream in streams:
        assert stream.summary.recovery.num_failovers == ({"DRAINING": 1} if stream in moving else {})
        assert len(writers(cluster, stream)) == 1


async def test_sessions_of_a_host_that_is_cut_off_move_and_its_late_work_is_refused(stage: Stage) -> None:
    cluster, hosts = stage.cluster, stage.cluster.hosts
    async with generating(stage) as streams:
        first = streams[0]
        victim, other = await target_and_other(cluster, first.session_id)
        orchestrator = await cluster.orchestrator_of(first.session_id)
        moving = await those_at(cluster, streams, victim)
        first_epoch = int((await stored_state(cluster, first.session_id))["epoch"])
        async with hosts.cut(around(victim, hosts.hosts)):
            # Its address is in DNS until somebody takes it out.
            await until_at(cluster, moving, other)
            await cluster.publish(other)
            await cluster.until_dropped(victim, orchestrator)
        await cluster.publish(*TOPOLOGY.targets)
        await cluster.until_known(*TOPOLOGY.targets)
        async with hosts.cut(around(other, hosts.hosts)):
            await until_at(cluster, moving, victim)
            assert (
                await refusal_of_late_round(cluster, victim, first.session_id, first_epoch) == "STALE_EPOCH"
            )
        await cluster.until_known(*TOPOLOGY.targets)
    for stream in streams:
        num_failovers = stream.summary.recovery.num_failovers
        assert sum(num_failovers.values()) == (2 if stream in moving else 1)
        assert num_failovers.keys() <= CUT_OFF_REASONS
        assert len(writers(cluster, stream)) == 1


@pytest.mark.parametrize(
    "is_only_from_redis",
    [
        pytest.param(False, id="from everybody"),
        pytest.param(True, id="from Redis only", marks=pytest.mark.slow),
    ],
)
async def test_an_orchestrator_that_is_cut_off_loses_its_sessions_and_writes_no_more(
    stage: Stage, is_only_from_redis: bool
) -> None:
    cluster, hosts = stage.cluster, stage.cluster.hosts
    async with generating(stage) as streams:
        victim = await cluster.orchestrator_of(streams[0].session_id)
        [other] = {*TOPOLOGY.orchestrators} - {victim}
        moving = await those_of(cluster, streams, victim)
        async with hosts.cut(between(victim, REDIS) if is_only_from_redis else around(victim, hosts.hosts)):
            await until_of(cluster, moving, other)
        # What it could not write arrives now.
        while not any(late_writes(cluster, stream, victim) for stream in moving):  # noqa: ASYNC110
            await asyncio.sleep(POLL_SECONDS)
        await cluster.until_known(*TOPOLOGY.targets)
    for stream in moving:
        assert writers(cluster, stream) == [victim, other]
        assert not any(call.written_epoch for call in late_writes(cluster, stream, victim))


@pytest.mark.slow
async def test_sessions_leave_a_target_whose_answers_are_lost_on_the_way(stage: Stage) -> None:
    cluster = stage.cluster
    async with generating(stage) as streams:
        victim, other = await target_and_other(cluster, streams[0].session_id)
        orchestrator = await cluster.orchestrator_of(streams[0].session_id)
        moving = await those_at(cluster, await those_of(cluster, streams, orchestrator), victim)
        async with cluster.hosts.cut([Way(victim, orchestrator)]):
            await until_at(cluster, moving, other)
        await cluster.until_known(*TOPOLOGY.targets)
    for stream in streams:
        num_failovers = stream.summary.recovery.num_failovers
        assert sum(num_failovers.values()) == (1 if stream in moving else 0)
        assert num_failovers.keys() <= CUT_OFF_REASONS


@pytest.mark.slow
async def test_sessions_stay_at_a_host_that_is_slow_and_loses_packets(stage: Stage) -> None:
    cluster = stage.cluster
    async with generating(stage) as streams:
        victim = await owner_of(cluster, streams[0].session_id)
        slowed = await those_at(cluster, streams, victim)
        async with cluster.hosts.changed(ways_to([victim]), SLOW):
            for stream in slowed:
                await stream.until(len(stream.ids) + 10)
        assert await those_at(cluster, slowed, victim) == slowed
    for stream in streams:
        assert stream.summary.recovery.num_failovers == {}


@pytest.mark.slow
async def test_nobody_notices_that_names_cannot_be_resolved_for_a_while(stage: Stage) -> None:
    cluster, hosts = stage.cluster, stage.cluster.hosts
    async with generating(stage) as streams:
        async with hosts.cut(around(NAMES, hosts.hosts)):
            await streams[0].until(len(streams[0].ids) + 60)
        await cluster.until_known(*TOPOLOGY.targets)
    for stream in streams:
        assert stream.summary.recovery.num_failovers == {}
        assert len(writers(cluster, stream)) == 1


async def target_and_other(cluster: HostCluster, session_id: str) -> tuple[str, str]:
    """Return the target that has a session's cache, and the other one."""
    victim = await owner_of(cluster, session_id)
    [other] = {*TOPOLOGY.targets} - {victim}
    return victim, other
