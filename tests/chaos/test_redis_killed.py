"""Redis is killed: with its append-only file nothing committed is lost, without it sessions in flight finish."""

import asyncio
import random
from contextlib import AsyncExitStack
from pathlib import Path

from tests.chaos.aftermath import stored_ids
from tests.chaos.client import connected
from tests.chaos.cluster import ClusterSettings, chaos_cluster
from tests.chaos.job import long_jobs
from tests.chaos.record import Record
from tests.chaos.stream import generating, resume
from tests.chaos.topology import REDIS, Topology
from tests.chaos.transcript import Transcript
from tests.chaos.undisturbed import answered

TOPOLOGY = Topology(1, 1, 1)
NUM_CLIENTS = 6


async def test_with_an_append_only_file_no_token_that_a_client_has_is_lost(short_directory: Path) -> None:
    settings = ClusterSettings(TOPOLOGY, has_liar=False)
    async with chaos_cluster(settings, short_directory) as cluster:
        asked = await answered(cluster, list(long_jobs(3, NUM_CLIENTS)))
        transcripts = [Transcript(job) for job in asked]
        async with AsyncExitStack() as stack:
            for transcript in transcripts:
                stream = await stack.enter_async_context(
                    generating(cluster.orchestrator_addresses[0], transcript.job.undisturbed(), transcript)
                )
                await stream.until(10)
            await cluster.nodes[REDIS].kill()
        await cluster.nodes[REDIS].start()
        await cluster.until_ready()
        for transcript in transcripts:
            (session_id,) = transcript.session_ids
            stored = await stored_ids(cluster, session_id)
            assert stored[transcript.num_prompt_tokens :][: len(transcript.ids)] == transcript.ids
            async with generating(
                cluster.orchestrator_addresses[0], resume(transcript), transcript
            ) as stream:
                assert await stream.end() == "FINISHED"
            assert transcript.answer() == transcript.job.answer


async def test_without_it_sessions_in_flight_finish_and_others_are_refused_clearly(
    short_directory: Path,
) -> None:
    settings = ClusterSettings(TOPOLOGY, has_append_only_file=False, has_liar=False)
    async with chaos_cluster(settings, short_directory) as cluster:
        lost_job, *asked = await answered(cluster, list(long_jobs(4, NUM_CLIENTS)))
        lost = Transcript(lost_job)
        async with generating(cluster.orchestrator_addresses[0], lost_job.undisturbed(), lost) as stream:
            await stream.until(10)
        record = Record()
        async with AsyncExitStack() as stack:
            streams = [
                await stack.enter_async_context(
                    generating(cluster.orchestrator_addresses[0], job.undisturbed(), Transcript(job))
                )
                for job in asked
            ]
            for stream in streams:
                await stream.until(10)
            await cluster.nodes[REDIS].kill()
            await cluster.nodes[REDIS].start()
            ends = await asyncio.gather(*(stream.end() for stream in streams))
        assert ends == ["FINISHED"] * len(streams)
        assert [stream.transcript.answer() for stream in streams] == [job.answer for job in asked]
        assert any(
            stream.transcript.summary.recovery.num_restored_records
            for stream in streams
            if stream.transcript.summary
        )
        async with generating(cluster.orchestrator_addresses[0], resume(lost), lost) as stream:
            assert await stream.end() == "SESSION_NOT_FOUND"
        # It begins again, and the answer is the same.
        async with connected(cluster.orchestrator_addresses, record, random.Random(0)) as client:
            again = await client.answer(lost_job, lost_job.undisturbed())
        assert again.answer() == lost_job.answer
