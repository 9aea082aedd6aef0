"""A run: a cluster, clients that want answers, faults, and a look at what is left."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

from paceline.client.messages import request_message
from paceline.client.resuming import connect_to_all
from tests.chaos.aftermath import alarming_lines, held_caches, lingering_tasks, stored_violations
from tests.chaos.block_probe import room
from tests.chaos.client import Client, connected
from tests.chaos.cluster import ChaosCluster, ClusterSettings, chaos_cluster
from tests.chaos.fault import Fault, FaultKind
from tests.chaos.injector import Injector
from tests.chaos.job import Job
from tests.chaos.record import Record
from tests.chaos.report import PAUSE_BOUND_SECONDS, Report
from tests.chaos.schedule import schedule
from tests.chaos.shipped_client import ShippedClient
from tests.chaos.system import System
from tests.chaos.undisturbed import answered_jobs

# How long clients may still take for what they have begun when the last fault is over.
LAST_JOBS_SECONDS = 120.0
IDLE_SLACK_SECONDS = 3.0
# One in so many clients is paceline.client's; the others check the wire contract and can be disturbed.
SHIPPED_CLIENT_EACH = 4

OnProgress = Callable[[str], None]


@dataclass(frozen=True)
class RunSettings:
    """What to do; the seed names everything that is left to chance but the machine's own timing."""

    seed: int = 1
    num_faults: int = 300
    num_clients: int = 16
    num_jobs: int = 40
    seconds_limit: float = 3600.0
    cluster: ClusterSettings = field(default_factory=ClusterSettings)


async def run(settings: RunSettings, directory: Path, on_progress: OnProgress = lambda line: None) -> Report:
    """Run once and return what was found; logs are left in the directory."""
    record = Record()
    async with chaos_cluster(settings.cluster, directory) as cluster:
        on_progress("computing what an undisturbed run answers")
        answered = await answered_jobs(cluster, settings.seed, settings.num_jobs)
        started_at = time.monotonic()
        faults = await disturb(cluster, settings, answered, record, on_progress)
        seconds = time.monotonic() - started_at
        on_progress("looking at what is left")
        wrong = [
            *record.wrong,
            *bound_violations(record),
            *await leftovers(cluster, record, settings.cluster.session_idle_seconds),
        ]
    wrong += [failure for node in cluster.nodes.values() for failure in node.failures]
    wrong += alarming_lines(cluster)
    if faults.total() < settings.num_faults:
        wrong.append(
            f"only {faults.total()} faults in {settings.seconds_limit:.0f} seconds: allow more minutes"
        )
    return Report(
        settings.seed, settings.num_faults, settings.num_clients, seconds, faults, record, tuple(wrong)
    )


async def disturb(
    cluster: ChaosCluster,
    settings: RunSettings,
    answered: Sequence[Job],
    record: Record,
    on_progress: OnProgress = lambda line: None,
) -> Counter[FaultKind]:
    """Have clients ask while faults come, until all have come and every client has its last answer."""
    faults = schedule(settings.seed, settings.num_faults, cluster.topology)
    is_over = asyncio.Event()
    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(
                connected(
                    cluster.orchestrator_addresses,
                    record,
                    random.Random(f"{settings.seed} {number}"),
                    may_lose_sessions=not cluster.settings.has_append_only_file,
                )
            )
            for number in range(settings.num_clients - settings.num_clients // SHIPPED_CLIENT_EACH)
        ]
        shipped = [
            ShippedClient(
                await stack.enter_async_context(connect_to_all(cluster.orchestrator_addresses)), record
            )
            for _ in range(settings.num_clients // SHIPPED_CLIENT_EACH)
        ]
        asking = [
            asyncio.create_task(
                ask(client, answered, random.Random(f"{settings.seed} job {number}"), is_over)
            )
            for number, client in enumerate([*clients, *shipped])
        ]
        injector = Injector(cluster, clients, random.Random(settings.seed))

        def tell(fault: Fault) -> None:
            on_progress(
                f"fault {injector.counts.total()} of {len(faults)}: {fault.kind} {fault.victim}; "
                f"{record.num_finished} streams finished, {record.num_resumes} resumed, {len(record.wrong)} wrong"
            )

        await injector.run(faults, settings.seconds_limit, tell)
        is_over.set()
        _, late = await asyncio.wait(asking, timeout=LAST_JOBS_SECONDS)
        for task in late:
            record.wrong.append(
                f"a client had no answer {LAST_JOBS_SECONDS:.0f} seconds after the last fault"
            )
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
        record.wrong += [
            repr(task.exception()) for task in asking if not task.cancelled() and task.exception()
        ]
    return injector.counts


async def ask(
    client: Client | ShippedClient, answered: Sequence[Job], dice: random.Random, is_over: asyncio.Event
) -> None:
    """Get one job after the other answered."""
    while not is_over.is_set():
        job = dice.choice(answered)
        request = job.with_speculation(dice)
        if isinstance(client, ShippedClient):
            await client.answer(job, request)
        else:
            await client.answer(job, request_message(request))


def bound_violations(record: Record) -> list[str]:
    return [
        f"a client waited {wait:.1f} seconds, more than {PAUSE_BOUND_SECONDS:.0f}"
        for wait in record.waits
        if wait > PAUSE_BOUND_SECONDS
    ]


async def leftovers(cluster: System, record: Record, session_idle_seconds: float) -> list[str]:
    """Return what should be gone: leases, keys without an end, caches of sessions, blocks of no session.

    What an orchestrator held when it was killed nobody else knows of: replicas find it idle and free it by themselves.
    """
    wrong = await stored_violations(cluster)
    await asyncio.sleep(session_idle_seconds + IDLE_SLACK_SECONDS)
    wrong += [f"a task that has nothing to do any more: {task}" for task in await lingering_tasks(cluster)]
    for name, num_held in (await held_caches(cluster, record.session_ids)).items():
        if num_held:
            wrong.append(f"{name} still held {num_held} sessions that nobody uses")
    for name in (*cluster.topology.targets, *cluster.topology.drafts):
        found = await room(cluster.service_address(name), name.partition("-")[0])
        if found.num_held < found.num_promised:
            wrong.append(
                f"{name} has lost blocks: it holds {found.num_held} of {found.num_promised} sessions"
            )
    return wrong
