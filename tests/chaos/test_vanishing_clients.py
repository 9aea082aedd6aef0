"""200 clients that vanish at random points: leases and caches are free within seconds."""

import asyncio
import random
from pathlib import Path

import grpc.aio

from paceline.client.messages import request_message
from paceline.v1.orchestrator_service_pb2_grpc import OrchestratorServiceStub
from tests.chaos.aftermath import alarming_lines, held_caches, lingering_tasks, stored_sessions
from tests.chaos.block_probe import room
from tests.chaos.cluster import ChaosCluster, ClusterSettings, chaos_cluster
from tests.chaos.job import Job, long_jobs
from tests.chaos.stream import Stream
from tests.chaos.topology import Topology
from tests.chaos.transcript import Transcript

NUM_CLIENTS = 200
BOUND_SECONDS = 5.0
POLL_SECONDS = 0.05
# Nothing but a release frees a cache within the test.
SETTINGS = ClusterSettings(Topology(2, 1, 1), has_liar=False, kv_cache_mib=16, session_idle_seconds=3600.0)


async def vanish(stub: OrchestratorServiceStub, job: Job, dice: random.Random) -> int:
    """Begin a generation, leave at some point, and return how many tokens had come."""
    transcript = Transcript(job)
    stream = Stream(stub.Generate(request_message(job.with_speculation(dice))), transcript)
    reading = asyncio.create_task(stream.end())
    await asyncio.sleep(dice.choice((0.0, dice.random(), 5 * dice.random())))
    stream.cancel()
    await asyncio.wait([reading])
    return len(transcript.ids)


async def until_all_is_given_up(cluster: ChaosCluster) -> None:
    """Wait until no lease is held and no task works for a session."""
    async with cluster.redis() as redis:
        while any((one.lease_seconds or -1) > 0 for one in await stored_sessions(redis)):  # noqa: ASYNC110
            await asyncio.sleep(POLL_SECONDS)
    while await lingering_tasks(cluster):  # noqa: ASYNC110
        await asyncio.sleep(POLL_SECONDS)


async def test_two_hundred_clients_that_vanish_leave_nothing_behind(short_directory: Path) -> None:
    async with chaos_cluster(SETTINGS, short_directory) as cluster:
        async with grpc.aio.insecure_channel(cluster.orchestrator_addresses[0]) as channel:
            stub = OrchestratorServiceStub(channel)
            nums_tokens = await asyncio.gather(
                *(
                    vanish(stub, job, random.Random(number))
                    for number, job in enumerate(long_jobs(6, NUM_CLIENTS))
                )
            )
            async with asyncio.timeout(BOUND_SECONDS):
                await until_all_is_given_up(cluster)
        assert 0 < sum(number > 0 for number in nums_tokens) < NUM_CLIENTS
        async with cluster.redis() as redis:
            stored = await stored_sessions(redis)
        assert [one for one in stored if one.status not in {"suspended", "finished"}] == []
        # One that had come to its end before its client left keeps its caches for the next turn, until they are needed.
        held = await held_caches(cluster, [one.session_id for one in stored if one.status == "suspended"])
        assert not any(held.values()), held
        await held_caches(cluster, [one.session_id for one in stored])
        for name in (*cluster.topology.targets, *cluster.topology.drafts):
            found = await room(cluster.service_address(name), name.partition("-")[0])
            assert found.num_held == found.num_promised, name
        assert not alarming_lines(cluster)
