"""Two orchestrators that both believe to own a session: only one commits."""

import asyncio
from pathlib import Path

from paceline.rounds import prefix_digest
from tests.chaos.aftermath import stored_ids, stored_state
from tests.chaos.cluster import LEASE_SECONDS, ChaosCluster, ClusterSettings, chaos_cluster
from tests.chaos.job import long_job
from tests.chaos.link import LinkState
from tests.chaos.stream import FINISHED, generating, resume
from tests.chaos.topology import Topology, link
from tests.chaos.transcript import Transcript, copy_of
from tests.chaos.undisturbed import answered

PROMPT = "who leads the line?"
JOB = long_job("a long answer", PROMPT)
CLUSTER = ClusterSettings(Topology(1, 0, 2), has_liar=False)


async def epoch_of(cluster: ChaosCluster, session_id: str) -> int:
    return int((await stored_state(cluster, session_id))["epoch"])


async def test_an_orchestrator_that_was_paused_past_its_lease_can_no_longer_commit(
    short_directory: Path,
) -> None:
    async with chaos_cluster(CLUSTER, short_directory) as cluster:
        (job,) = await answered(cluster, [JOB])
        first, second = cluster.topology.orchestrators
        for orchestrator in (first, second):  # so that the generation lasts for some seconds
            await cluster.network.change(link(orchestrator, "target-0"), LinkState.OPEN, 0.005)
        transcript = Transcript(job)
        addresses = cluster.orchestrator_addresses
        async with generating(addresses[0], job.undisturbed(), transcript) as old:
            await old.until(30)
            first_epoch = await epoch_of(cluster, *transcript.session_ids)
            cluster.nodes[first].pause()
            await asyncio.sleep(LEASE_SECONDS + 0.5)
            resumed = copy_of(transcript)
            async with generating(addresses[1], resume(transcript), resumed) as new:
                await new.until(60)
                cluster.nodes[first].go_on()
                # Tokens that it had committed before may still come, and they are the same; then it is refused.
                assert await old.end() == "STALE_EPOCH"
                assert await new.end() == FINISHED
        assert resumed.answer() == job.answer
        assert len(transcript.ids) < len(resumed.ids)
        (session_id,) = resumed.session_ids
        ids, state = await stored_ids(cluster, session_id), await stored_state(cluster, session_id)
    assert job.answer is not None
    prompt_ids = list(PROMPT.encode())
    assert ids == [*prompt_ids, *job.answer.ids]
    assert state["status"] == b"finished"
    assert int(state["position"]) == len(ids)
    assert state["digest"] == prefix_digest(ids)
    assert int(state["epoch"]) > first_epoch


async def test_of_two_clients_that_resume_at_once_one_goes_on_and_one_is_refused(
    short_directory: Path,
) -> None:
    async with chaos_cluster(CLUSTER, short_directory) as cluster:
        (job,) = await answered(cluster, [JOB])
        for orchestrator in cluster.topology.orchestrators:
            await cluster.network.change(link(orchestrator, "target-0"), LinkState.OPEN, 0.005)
        transcript = Transcript(job)
        addresses = cluster.orchestrator_addresses
        async with generating(addresses[0], job.undisturbed(), transcript) as first:
            await first.until(30)
        one, other = copy_of(transcript), copy_of(transcript)
        async with (
            generating(addresses[0], resume(transcript), one) as left,
            generating(addresses[1], resume(transcript), other) as right,
        ):
            ends = await asyncio.gather(left.end(), right.end())
        assert sorted(ends) == [FINISHED, "STALE_EPOCH"]
        winner = one if ends[0] == FINISHED else other
        assert winner.answer() == job.answer
        (session_id,) = winner.session_ids
        assert job.answer is not None
        assert (await stored_ids(cluster, session_id))[len(PROMPT) :] == list(job.answer.ids)
