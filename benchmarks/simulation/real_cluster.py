"""The real system, as what is simulated is compared with it: the pair `twin` on this machine."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.simulation.cluster import Cluster
from benchmarks.simulation.run_options import RunOptions
from benchmarks.simulation.worker import working
from paceline.cli.cluster_options import ModelOptions, set_up_models
from paceline.cli.model_setup import DRAFT_WEIGHTS, TARGET_WEIGHTS
from paceline.local.cluster import LocalCluster, ProcessStatus
from paceline.local.redis_server import RedisServer

PAIR = "twin"
KV_CACHE_MIB = 512


@dataclass(frozen=True)
class RealCluster:
    """A running cluster of real models with its clients, and where its replicas listen."""

    cluster: Cluster
    target_address: str
    draft_address: str


@asynccontextmanager
async def real_cluster(
    options: RunOptions, directory: Path, on_ready: Callable[[ProcessStatus], None]
) -> AsyncIterator[RealCluster]:
    """Run the pair for as long as the block runs; raises what `LocalCluster` raises."""
    await asyncio.to_thread(directory.mkdir, parents=True, exist_ok=True)
    statuses: dict[str, ProcessStatus] = {}

    def note(status: ProcessStatus) -> None:
        statuses[status.name] = status
        on_ready(status)

    config = replace(
        set_up_models(ModelOptions(PAIR, TARGET_WEIGHTS, DRAFT_WEIGHTS)),
        cores=options.cores,
        kv_cache_mib=KV_CACHE_MIB,
    )
    local = LocalCluster(config, directory, note)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(local.running())
        clients = [
            await stack.enter_async_context(working("client_process", f"clients-{number}", directory))
            for number in range(options.num_client_processes)
        ]
        child = {one.name: one for one in local.children}
        cluster = Cluster(
            RedisServer(statuses["redis"].address, child["redis"]),
            (child["orchestrator"],),
            (local.address,),
            (child["target-0"], child["draft-0"]),
            tuple(clients),
        )
        yield RealCluster(cluster, statuses["target-0"].address, statuses["draft-0"].address)
