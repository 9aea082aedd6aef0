"""Old services beside new ones: the same tokens, no error, and sessions that go on at whichever orchestrator."""

import asyncio
import random
from itertools import permutations
from pathlib import Path

import grpc.aio
import pytest

from paceline.client.messages import request_message
from paceline.serving.version import ServiceVersion
from paceline.v1 import (
    draft_service_pb2,
    draft_service_pb2_grpc,
    model_pb2,
    target_service_pb2,
    target_service_pb2_grpc,
)
from tests.chaos.aftermath import alarming_lines
from tests.chaos.client import connected
from tests.chaos.image import CURRENT, Image
from tests.chaos.job import Job, long_jobs
from tests.chaos.load import load
from tests.chaos.name_service import refusal
from tests.chaos.record import Record
from tests.chaos.rolling_cluster import POOLS, RollingSettings, rolling_cluster
from tests.chaos.rollout import replace_pods
from tests.chaos.run import leftovers
from tests.chaos.stream import FINISHED, generating, resume
from tests.chaos.transcript import Transcript
from tests.chaos.undisturbed import answered
from tests.compat.mixed_cluster import SETTINGS, MixedCluster, mixed_cluster, release_of

NUM_TOKENS_BEFORE = 30


async def replica_at(address: str, pool: str) -> model_pb2.ReplicaInfo:
    """What a replica says of itself."""
    async with grpc.aio.insecure_channel(address) as channel:
        if pool == "target":
            target = target_service_pb2_grpc.TargetServiceStub(channel)
            return (await target.GetModel(target_service_pb2.TargetServiceGetModelRequest())).replica
        draft = draft_service_pb2_grpc.DraftServiceStub(channel)
        return (await draft.GetModel(draft_service_pb2.DraftServiceGetModelRequest())).replica


async def check_versions(cluster: MixedCluster) -> None:
    """Fail unless the replicas are what their names say: else nothing old is tested."""
    for name in (*cluster.topology.targets, *cluster.topology.drafts):
        pool, _, release = name.partition("-")
        version = ServiceVersion.from_message(await replica_at(cluster.service_address(name), pool))
        assert version == (ServiceVersion() if release == "old" else ServiceVersion.here()), name


async def check_answers(cluster: MixedCluster, jobs: list[Job], record: Record) -> None:
    """Get every job answered by every orchestrator, with speculation."""

    async def ask(address: str, job: Job) -> None:
        async with connected([address], record, random.Random(0)) as client:
            await client.answer(job, request_message(job.request))

    await asyncio.gather(*(ask(address, job) for address in cluster.orchestrator_addresses for job in jobs))


async def check_resumes(cluster: MixedCluster, jobs: list[Job], record: Record) -> None:
    """Begin at each orchestrator, and go on at each one of the other release."""

    async def move(job: Job, first: str, second: str) -> None:
        transcript = Transcript(job)
        request = request_message(job.request)
        async with generating(cluster.service_address(first), request, transcript) as stream:
            await stream.until(NUM_TOKENS_BEFORE)
        async with generating(cluster.service_address(second), resume(transcript), transcript) as stream:
            assert await stream.end() == FINISHED, f"begun at {first}, resumed at {second}"
        record.session_ids |= transcript.session_ids

    names = cluster.topology.orchestrators
    moves = [pair for pair in permutations(names, 2) if release_of(pair[0]) != release_of(pair[1])]
    await asyncio.gather(*(move(jobs[number % len(jobs)], *pair) for number, pair in enumerate(moves)))


async def test_old_and_new_services_answer_alike_and_continue_each_others_sessions(
    old_image: Image, short_directory: Path
) -> None:
    record = Record()
    async with mixed_cluster(short_directory, old_image) as cluster:
        await check_versions(cluster)
        jobs = await answered(cluster, list(long_jobs(seed=5, num_jobs=3)))
        await check_answers(cluster, jobs, record)
        await check_resumes(cluster, jobs, record)
        wrong = [*record.wrong, *await leftovers(cluster, record, SETTINGS.session_idle_seconds)]
    wrong += [failure for node in cluster.nodes.values() for failure in node.failures]
    assert not wrong + alarming_lines(cluster)


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_a_release_is_rolled_out_and_back_under_load_and_no_client_notices(
    old_image: Image, short_directory: Path
) -> None:
    if reason := refusal(short_directory):
        pytest.skip(reason)
    record, settings = Record(), RollingSettings()
    async with rolling_cluster(settings, short_directory, old_image) as cluster:
        jobs = await answered(cluster, list(long_jobs(seed=5, num_jobs=6)))
        async with load(cluster.orchestrator_addresses, jobs, record, num_clients=8):
            for pool in POOLS:
                await replace_pods(cluster, pool, CURRENT)
            for pool in reversed(POOLS):
                await replace_pods(cluster, pool, old_image)
        wrong = [*record.wrong, *await leftovers(cluster, record, settings.session_idle_seconds)]
    assert not wrong + cluster.failures + alarming_lines(cluster)
    assert record.num_finished
