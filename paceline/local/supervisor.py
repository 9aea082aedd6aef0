"""Runs work beside a local cluster that lives exactly as long as the work."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from paceline.local.cluster import LocalCluster, ProcessEnd, ProcessStatus
from paceline.local.cluster_record import cluster_directory
from paceline.local.plan import ClusterConfig
from paceline.local.stop_signals import stop_signals

T = TypeVar("T")


async def run_in_cluster(
    config: ClusterConfig,
    work: Callable[[LocalCluster, Path], Awaitable[T]],
    on_ready: Callable[[ProcessStatus], None],
    on_end: Callable[[ProcessEnd], None],
) -> T:
    """Start a cluster, do the work with it and its directory, and stop it however that ends.

    Raises StoppedError after a stop signal, what the cluster raises when it cannot start or go on, and what
    the work raises.
    """
    with cluster_directory() as directory:
        cluster = LocalCluster(config, directory, on_ready, on_end)
        with stop_signals(hurry=cluster.kill):
            async with cluster.running():
                return await _unless_it_fails(cluster, work(cluster, directory))


async def _unless_it_fails(cluster: LocalCluster, work: Awaitable[T]) -> T:
    working = asyncio.ensure_future(work)
    watching = asyncio.ensure_future(cluster.wait_for_failure())
    try:
        await asyncio.wait((working, watching), return_when=asyncio.FIRST_COMPLETED)
        if watching.done():
            watching.result()
        return working.result()
    finally:
        working.cancel()
        watching.cancel()
        await asyncio.gather(working, watching, return_exceptions=True)
