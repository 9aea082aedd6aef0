"""Generations that run while hosts are cut off, and what has to be true of them afterwards."""

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Self

from paceline.client.generation import (
    GenerationRequest,
    RawPrompt,
    RecoverySummary,
    Speculation,
    SpeculationMode,
)
from paceline.rounds import prefix_digest
from tests.chaos.aftermath import owner_of, stored_ids, stored_state
from tests.chaos.job import long_jobs
from tests.chaos.report import PAUSE_BOUND_SECONDS
from tests.hosts.client import HostStream
from tests.hosts.cluster import SPARE, TOPOLOGY, HostCluster
from tests.hosts.ledger import StoreCall
from tests.hosts.switch import Quality, Way, between

NUM_STREAMS = 4
NUM_TOKENS = 200
NUM_TOKENS_BEFORE = 10
# The targets are so far away that a generation lasts longer than what is done to it.
DISTANCE = Quality(delay_seconds=0.04)
SPECULATIONS = (Speculation(SpeculationMode.OFF), Speculation(SpeculationMode.FIXED, 1))
WRITING_COMMANDS = {"commit", "take_over", "finish", "restore"}
POLL_SECONDS = 0.05


@dataclass(frozen=True)
class Question:
    """A request, and what an undisturbed run answers to it."""

    request: GenerationRequest
    ids: Sequence[int]
    text: str


@dataclass(frozen=True)
class Stage:
    """A cluster that tests use one after the other, what they ask of it, and the sessions that came of that."""

    cluster: HostCluster
    questions: Sequence[Question]
    session_ids: set[str] = field(default_factory=set[str])

    @classmethod
    async def set_up(cls, cluster: HostCluster) -> Self:
        """Ask for different answers, greedy and sampled, of the target alone."""
        # The prompts are shorter than a block of a cache: no target is preferred because it has computed one before.
        requests = [
            replace(job.request, prompt=RawPrompt(f"{number}: the line"), max_tokens=NUM_TOKENS)
            for number, job in enumerate(long_jobs(5, NUM_STREAMS))
        ]
        streams = await cluster.client.ask([replace(one, speculation=SPECULATIONS[0]) for one in requests])
        for stream in streams:
            await stream.end()
            assert stream.summary.recovery == RecoverySummary(), "somebody disturbed the undisturbed run"
        return cls(
            cluster,
            [Question(request, one.ids, one.text) for request, one in zip(requests, streams, strict=True)],
            {stream.session_id for stream in streams},
        )


@asynccontextmanager
async def generating(stage: Stage) -> AsyncIterator[list[HostStream]]:
    """Have one client ask everything inside the block, slowly; afterwards see what it got and what was written."""
    cluster = stage.cluster
    requests = [
        replace(question.request, speculation=SPECULATIONS[number % len(SPECULATIONS)])
        for number, question in enumerate(stage.questions)
    ]
    async with cluster.hosts.changed(ways_to((*TOPOLOGY.targets, SPARE)), DISTANCE):
        streams = await cluster.client.ask(requests)
        for stream in streams:
            await stream.until(NUM_TOKENS_BEFORE)
        stage.session_ids.update(stream.session_id for stream in streams)
        yield streams
    for question, stream in zip(stage.questions, streams, strict=True):
        await stream.end()
        assert (stream.ids, stream.text) == (question.ids, question.text)
        assert stream.longest_wait < PAUSE_BOUND_SECONDS
        await check_what_was_written(cluster, stream)


async def check_what_was_written(cluster: HostCluster, stream: HostStream) -> None:
    """Redis has what one writer would have written: each id once, and under each epoch by one orchestrator only."""
    ids = await stored_ids(cluster, stream.session_id)
    state = await stored_state(cluster, stream.session_id)
    assert ids[int(state["num_prompt_ids"]) :] == stream.ids
    assert state["status"] == b"finished"
    assert int(state["position"]) == len(ids)
    assert state["digest"] == prefix_digest(ids)
    async with cluster.redis() as redis:
        await cluster.ledger.catch_up(redis)
    written = writes(cluster, stream)
    assert [one for call in written for one in call.written_ids] == ids
    epochs = [call.written_epoch or 0 for call in written]
    assert epochs == sorted(epochs)
    assert epochs[-1] == int(state["epoch"])
    assert len({(call.written_epoch, call.host) for call in written}) == len(set(epochs))


def writes(cluster: HostCluster, stream: HostStream) -> list[StoreCall]:
    """Return the calls that changed a session in Redis, in order."""
    return [call for call in cluster.ledger.of(stream.session_id) if call.written_epoch is not None]


def writers(cluster: HostCluster, stream: HostStream) -> list[str]:
    """Return who has changed a session in Redis, in the order of their first changes."""
    return list(dict.fromkeys(call.host for call in writes(cluster, stream)))


def late_writes(cluster: HostCluster, stream: HostStream, orchestrator: str) -> list[StoreCall]:
    """Return what an orchestrator wanted to write to a session after another one had taken it over."""
    calls = cluster.ledger.of(stream.session_id)
    taken_at = next(
        (place for place, call in enumerate(calls) if call.host != orchestrator and call.written_epoch),
        len(calls),
    )
    return [
        call for call in calls[taken_at:] if call.host == orchestrator and call.command in WRITING_COMMANDS
    ]


def ways_to(targets: Collection[str]) -> list[Way]:
    """Return all ways between the orchestrators and some targets."""
    return [way for one in TOPOLOGY.orchestrators for target in targets for way in between(one, target)]


async def those_at(cluster: HostCluster, streams: Sequence[HostStream], target: str) -> list[HostStream]:
    """Return the streams whose caches a target has."""
    return [stream for stream in streams if await owner_of(cluster, stream.session_id) == target]


async def those_of(
    cluster: HostCluster, streams: Sequence[HostStream], orchestrator: str
) -> list[HostStream]:
    """Return the streams that an orchestrator serves."""
    return [stream for stream in streams if await cluster.orchestrator_of(stream.session_id) == orchestrator]


async def until_at(cluster: HostCluster, streams: Sequence[HostStream], target: str) -> None:
    """Wait until a target has the caches of streams, and each has gone on there or ended."""
    for stream in streams:
        while await owner_of(cluster, stream.session_id) != target:  # noqa: ASYNC110, it is another process
            await asyncio.sleep(POLL_SECONDS)
        await stream.go_on()


async def until_of(cluster: HostCluster, streams: Sequence[HostStream], orchestrator: str) -> None:
    """Wait until an orchestrator serves streams, and each has gone on there or ended."""
    for stream in streams:
        while await cluster.orchestrator_of(stream.session_id) != orchestrator:  # noqa: ASYNC110, as above
            await asyncio.sleep(POLL_SECONDS)
        await stream.go_on()
