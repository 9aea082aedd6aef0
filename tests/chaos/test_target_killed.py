"""SIGKILL of the target in mid-generation: the stream goes on at another replica, with the same text."""

import asyncio
import time
from pathlib import Path

import grpc.aio
import pytest

from paceline.client.messages import request_message
from paceline.v1 import orchestrator_service_pb2 as pb
from paceline.v1.orchestrator_service_pb2_grpc import OrchestratorServiceStub
from tests.chaos.aftermath import owner_of
from tests.chaos.cluster import ChaosCluster, ClusterSettings, chaos_cluster
from tests.chaos.job import Job, long_job
from tests.chaos.spread import Spread
from tests.chaos.stream import generating
from tests.chaos.topology import Topology
from tests.chaos.transcript import Transcript
from tests.chaos.undisturbed import answered

NUM_TOKENS_BEFORE = 40
POLL_SECONDS = 0.05


async def kill_in_mid_generation(cluster: ChaosCluster, job: Job) -> tuple[float, pb.RecoverySummary]:
    """Kill the target that serves a generation; return the longest wait afterwards, and what the summary says."""
    transcript = Transcript(job)
    request = request_message(job.request)
    async with generating(cluster.orchestrator_addresses[0], request, transcript) as stream:
        await stream.until(NUM_TOKENS_BEFORE)
        victim = await owner_of(cluster, *transcript.session_ids)
        await cluster.nodes[victim].kill()
        waits: list[float] = []
        while not transcript.is_finished:
            asked_at = time.monotonic()
            await stream.until(len(transcript.ids) + 1) if len(transcript.ids) < 300 else await stream.end()
            waits.append(time.monotonic() - asked_at)
        assert await owner_of(cluster, *transcript.session_ids) != victim
    assert transcript.answer() == job.answer
    assert transcript.summary is not None
    await cluster.nodes[victim].start()
    await until_both_targets_are_known(cluster)
    return max(waits), transcript.summary.recovery


async def until_both_targets_are_known(cluster: ChaosCluster) -> None:
    """Wait until the orchestrator is connected to both; else the next pause would be that of a lone target's start."""
    async with grpc.aio.insecure_channel(cluster.orchestrator_addresses[0]) as channel:
        stub = OrchestratorServiceStub(channel)
        request = pb.OrchestratorServiceGetModelRequest()
        while len((await stub.GetModel(request)).target_replicas) < 2:  # noqa: ASYNC110, it is another process
            await asyncio.sleep(POLL_SECONDS)


async def kill_repeatedly(directory: Path, num_repeats: int) -> None:
    async with chaos_cluster(ClusterSettings(Topology(2, 1, 1), has_liar=False), directory) as cluster:
        # Different ones, of which no cache knows anything but the target that has computed the answer before.
        asked = [
            long_job(f"answer {number}", f"{number}: the line of riders") for number in range(num_repeats)
        ]
        found = [await kill_in_mid_generation(cluster, job) for job in await answered(cluster, asked)]
    for node in cluster.nodes.values():
        assert not node.failures
    recoveries = [recovery for _, recovery in found]
    assert all(sum(one.num_failovers.values()) == 1 for one in recoveries)
    print(
        f"\npause after SIGKILL of the target, {num_repeats} times: {Spread.of([pause for pause, _ in found])}"
    )
    print(f"  to notice:    {Spread.of([one.detection_seconds for one in recoveries])}")
    print(f"  to take over: {Spread.of([one.takeover_seconds for one in recoveries])}")
    print(f"  to rebuild:   {Spread.of([one.rebuild_seconds for one in recoveries])}")


async def test_a_killed_targets_session_goes_on_elsewhere_with_the_same_text(short_directory: Path) -> None:
    await kill_repeatedly(short_directory, 2)


@pytest.mark.slow
@pytest.mark.timeout(1200)
async def test_the_pause_after_many_kills(short_directory: Path) -> None:
    await kill_repeatedly(short_directory, 20)
