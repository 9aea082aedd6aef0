"""What an undisturbed run answers: the target alone, before anything goes wrong."""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import replace

from tests.chaos.client import connected
from tests.chaos.job import Job, jobs, with_stop_text
from tests.chaos.record import Record
from tests.chaos.system import System

NUM_AT_ONCE = 4
STOP_TEXT_EACH = 5


async def answered_jobs(cluster: System, seed: int, num_jobs: int) -> list[Job]:
    """Return jobs with their answers; besides them, some that end at a stop text."""
    plain = await answered(cluster, list(jobs(seed, num_jobs)))
    stopped = await answered(cluster, [with_stop_text(job) for job in plain[::STOP_TEXT_EACH]])
    return [*plain, *stopped]


async def answered(cluster: System, asked: Sequence[Job]) -> list[Job]:
    """Return jobs with their answers."""
    record, places = Record(), asyncio.Semaphore(NUM_AT_ONCE)

    async def one(job: Job) -> Job:
        async with places, connected(cluster.orchestrator_addresses, record, random.Random(0)) as client:
            transcript = await client.answer(job, job.undisturbed())
            assert not record.wrong, record.wrong
            return replace(job, answer=transcript.answer())

    answers = await asyncio.gather(*map(one, asked))
    assert not record.breaks, f"somebody disturbed the undisturbed run: {record.breaks}"
    return answers
