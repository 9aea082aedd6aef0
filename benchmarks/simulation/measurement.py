"""Puts a load on a cluster, and looks at what its processes use meanwhile."""

import asyncio
import time
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import NamedTuple

from benchmarks.simulation.cluster import Cluster
from benchmarks.simulation.load_plan import Begun, LoadPlan, LoadResult, Window
from benchmarks.simulation.outcome import Consumption, Outcome, outcome_of
from benchmarks.simulation.redis_usage import RedisUsage, bytes_per_session, redis_usage
from benchmarks.simulation.run_options import RunOptions
from benchmarks.simulation.settings import Settings
from paceline.cli.benchmark.process_usage import ProcessUsage, cpu_seconds_between, usage_of
from paceline.client.generation import Speculation

# By process id.
Usages = Mapping[str, ProcessUsage]

# What was cancelled at the end of a load is closed at such a rate, at least, before the next one begins.
ENDS_PER_SECOND = 1000


class _Snapshot(NamedTuple):
    at: float
    orchestrators: Usages
    replicas: Usages
    clients: Usages
    redis: RedisUsage


async def measure(
    cluster: Cluster,
    settings: Settings,
    speculation: Speculation,
    options: RunOptions,
    turn: int,
    prompts: tuple[str, ...] = (),
) -> Outcome:
    """Run one load of all sessions; `turn` gives it other prompts than other loads, `prompts` those of real models.

    Raises ProcessFailedError where a process has ended.
    """
    plans = _load_plans(cluster, settings, speculation, options, turn, prompts)
    idle = _usages(child.pid for child in cluster.orchestrators)
    pairs = zip(cluster.clients, plans, strict=True)
    begun = await asyncio.gather(*(client.ask(plan, Begun) for client, plan in pairs))
    started = _usages(child.pid for child in cluster.orchestrators)
    begin = time.monotonic() + options.warm_up_seconds
    window = Window(begin, begin + options.seconds)
    counting = asyncio.gather(*(client.ask(window, LoadResult) for client in cluster.clients))
    try:
        await _sleep_until(window.begin)
        before = await _snapshot(cluster)
        await _sleep_until(window.end)
        after = await _snapshot(cluster)
        results = await counting
    finally:
        counting.cancel()
    cluster.check()
    used = _consumption(
        cpu_seconds_between(idle, started), before, after, await bytes_per_session(cluster.redis.url)
    )
    await asyncio.sleep(settings.sessions / ENDS_PER_SECOND)
    return outcome_of(settings, results, used, sum(one.num_sessions for one in begun))


def _load_plans(
    cluster: Cluster,
    settings: Settings,
    speculation: Speculation,
    options: RunOptions,
    turn: int,
    prompts: tuple[str, ...],
) -> list[LoadPlan]:
    num, starts_at = len(cluster.clients), time.monotonic()
    bounds = [settings.sessions * number // num for number in range(num + 1)]
    return [
        LoadPlan(
            cluster.addresses,
            first,
            last - first,
            starts_at,
            options.starts_per_second,
            settings.sessions / options.starts_per_second + options.patience_seconds,
            turn,
            *settings.prompt_range,
            settings.max_tokens,
            speculation,
            prompts,
        )
        for first, last in pairwise(bounds)
    ]


async def _sleep_until(at: float) -> None:
    await asyncio.sleep(at - time.monotonic())


def _usages(pids: Iterable[int]) -> Usages:
    return usage_of({str(pid): pid for pid in pids})


async def _snapshot(cluster: Cluster) -> _Snapshot:
    return _Snapshot(
        time.monotonic(),
        _usages(child.pid for child in cluster.orchestrators),
        _usages(worker.pid for worker in cluster.replicas),
        _usages(worker.pid for worker in cluster.clients),
        await redis_usage(cluster.redis.url),
    )


def _consumption(
    start_cpu_seconds: float, before: _Snapshot, after: _Snapshot, redis_bytes: float | None
) -> Consumption:
    return Consumption(
        start_cpu_seconds,
        after.at - before.at,
        cpu_seconds_between(before.orchestrators, after.orchestrators),
        cpu_seconds_between(before.replicas, after.replicas),
        cpu_seconds_between(before.clients, after.clients),
        after.redis.cpu_seconds - before.redis.cpu_seconds,
        sum(one.resident_memory_bytes for one in after.orchestrators.values()),
        after.redis.num_commands - before.redis.num_commands,
        redis_bytes,
    )
