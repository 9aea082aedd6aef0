"""The processes of a simulation: Redis and orchestrators are real, replicas are timed."""

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.simulation.chain_model import ChainModel
from benchmarks.simulation.replica_plan import PoolPlan, ReplicaAddresses, ReplicaPlan
from benchmarks.simulation.run_options import RunOptions
from benchmarks.simulation.settings import Settings
from benchmarks.simulation.step_time import StepTime
from benchmarks.simulation.worker import Worker, working
from paceline.local.core_assignment import Cores
from paceline.local.errors import NotReadyError, ProcessFailedError
from paceline.local.health import is_serving
from paceline.local.listen_address import free_ports
from paceline.local.plan import KILL_AFTER_SECONDS, LOOPBACK, REDIS_URL_VARIABLE
from paceline.local.process import ChildProcess, Command
from paceline.local.redis_server import RedisServer, redis_server
from paceline.serving.session_point import MAX_ROUND_TOKENS
from tests.orchestrator.byte_tokenizer import byte_tokenizer

READY_SECONDS = 120.0
POLL_SECONDS = 0.05
SPARE_SESSIONS = 64


@dataclass(frozen=True)
class Cluster:
    """A running cluster, simulated or real, and its clients."""

    redis: RedisServer
    orchestrators: tuple[ChildProcess, ...]
    addresses: tuple[str, ...]
    replicas: tuple[Worker | ChildProcess, ...]
    clients: tuple[Worker, ...]

    def check(self) -> None:
        """Raise ProcessFailedError where Redis or an orchestrator has ended."""
        for child in (self.redis.process, *self.orchestrators):
            if child.exit_code is not None:
                raise ProcessFailedError(child.name, child.exit_code, child.log_path, child.last_lines())


@asynccontextmanager
async def running_cluster(settings: Settings, options: RunOptions, directory: Path) -> AsyncIterator[Cluster]:
    """Run a cluster for as long as the block runs, its logs in `directory`.

    Raises ProcessFailedError or NotReadyError, with everything stopped again.
    """
    await asyncio.to_thread(directory.mkdir, parents=True, exist_ok=True)
    async with AsyncExitStack() as stack:
        redis = await stack.enter_async_context(redis_server(directory / "redis", directory / "redis.log"))
        replicas = [
            await stack.enter_async_context(working("replica_process", f"replicas-{number}", directory))
            for number in range(options.num_replica_processes)
        ]
        plans = replica_plans(settings, options)
        answers = (worker.ask(plan, ReplicaAddresses) for worker, plan in zip(replicas, plans, strict=True))
        parts = await asyncio.gather(*answers)
        addresses = ReplicaAddresses(
            tuple(address for part in parts for address in part.targets),
            tuple(address for part in parts for address in part.drafts),
        )
        commands = list(_orchestrators(settings, options, addresses, redis.url, directory))
        orchestrators: list[ChildProcess] = []
        for command, _ in commands:
            child = await ChildProcess.start(command, directory / f"{command.name}.log")
            stack.push_async_callback(child.stop, KILL_AFTER_SECONDS)
            orchestrators.append(child)
        clients = [
            await stack.enter_async_context(working("client_process", f"clients-{number}", directory))
            for number in range(options.num_client_processes)
        ]
        cluster = Cluster(
            redis,
            tuple(orchestrators),
            tuple(address for _, address in commands),
            tuple(replicas),
            tuple(clients),
        )
        for child, address in zip(orchestrators, cluster.addresses, strict=True):
            await _wait_until_ready(cluster, child, address)
        yield cluster


def replica_plans(settings: Settings, options: RunOptions) -> list[ReplicaPlan]:
    """Return what each replica process serves: targets and drafts are dealt out in turn."""
    num = options.num_replica_processes
    drafter = ChainModel(acceptance=settings.acceptance, second_chance=settings.second_chance)
    target = _pool(settings, settings.targets, settings.target_steps, settings.rtt_ms, ChainModel())
    draft = _pool(settings, max(1, settings.drafts), settings.draft_steps, settings.draft_rtt_ms, drafter)
    pinned = (options.cores.target, options.cores.draft)
    return [
        ReplicaPlan(
            target,
            draft,
            len(range(number, settings.targets, num)),
            # From the last process on, so that one of each pool makes two processes.
            len(range(num - 1 - number, settings.drafts, num)),
            _cores(pinned[number % 2]),
        )
        for number in range(num)
    ]


def _pool(
    settings: Settings, num_replicas: int, steps: StepTime, rtt_ms: float, model: ChainModel
) -> PoolPlan:
    longest = settings.prompt_range[1] + settings.max_tokens + 2 * MAX_ROUND_TOKENS
    return PoolPlan(
        model,
        steps,
        rtt_ms / 2000 * settings.dilation,
        settings.dilation,
        max_sessions=SPARE_SESSIONS + 2 * -(-settings.sessions // num_replicas),
        max_context_tokens=longest,
        max_rows_per_step=settings.max_rows,
    )


def _cores(cores: Cores | None) -> tuple[int, ...]:
    return () if cores is None else tuple(sorted(cores))


def _orchestrators(
    settings: Settings, options: RunOptions, replicas: ReplicaAddresses, redis_url: str, directory: Path
) -> Iterator[tuple[Command, str]]:
    model, stretch = directory / "tokenizer", max(1.0, settings.dilation)
    byte_tokenizer().save(model)
    (model / "paceline.json").write_text("{}")
    for number, port in enumerate(free_ports(settings.orchestrators)):
        address = f"{LOOPBACK}:{port}"
        flags = {
            "listen": address,
            "target-addresses": ",".join(replicas.targets),
            **({"draft-addresses": ",".join(replicas.drafts)} if replicas.drafts else {}),
            "model": str(model),
            "replica-id": f"orchestrator-{number}",
            "max-sessions": str(settings.sessions + SPARE_SESSIONS),
            "max-concurrent-streams": str(settings.sessions + SPARE_SESSIONS),
            # These are about models, whose seconds are longer.
            "draft-patience-seconds": f"{2.0 * stretch:g}",
            "replica-silence-seconds": f"{2.0 * stretch:g}",
            "replica-stall-seconds": f"{3.0 * stretch:g}",
            "target-deadline-seconds": f"{120.0 * stretch:g}",
            "grace-seconds": "5",
            "log-level": "warning",
            **options.orchestrator_options,
        }
        arguments = [part for name, value in flags.items() for part in (f"--{name}", value)]
        yield (
            Command(
                f"orchestrator-{number}",
                (sys.executable, "-m", "orchestrator", *arguments),
                options.cores.orchestrator,
                {REDIS_URL_VARIABLE: redis_url},
            ),
            address,
        )


async def _wait_until_ready(cluster: Cluster, child: ChildProcess, address: str) -> None:
    try:
        async with asyncio.timeout(READY_SECONDS):
            while not await is_serving(address):
                cluster.check()
                await asyncio.sleep(POLL_SECONDS)
    except TimeoutError as error:
        raise NotReadyError(child.name, READY_SECONDS, child.log_path) from error
