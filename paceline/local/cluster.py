"""A cluster on one machine, as separate processes: Redis, targets, drafts and an orchestrator."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import NoReturn

from paceline.local.errors import NotReadyError, ProcessFailedError
from paceline.local.health import is_serving
from paceline.local.listen_address import free_ports, require_free
from paceline.local.plan import (
    KILL_AFTER_SECONDS,
    ClusterConfig,
    ClusterPlan,
    Service,
    num_ports,
    plan_cluster,
)
from paceline.local.process import ChildProcess
from paceline.local.redis_server import RedisServer, redis_server

# Loading and self-testing a large model on one slow core takes minutes, not more.
READY_SECONDS = 600.0
POLL_SECONDS = 0.1


@dataclass(frozen=True)
class ProcessStatus:
    """One line about one process of the cluster."""

    name: str
    pid: int
    address: str
    about: str
    seconds: float  # from its start until it was ready


@dataclass(frozen=True)
class ProcessEnd:
    """How a process ended when the cluster was stopped."""

    name: str
    pid: int
    exit_code: int


class LocalCluster:
    """Starts, watches and ends the processes of one cluster."""

    def __init__(
        self,
        config: ClusterConfig,
        directory: Path,
        on_ready: Callable[[ProcessStatus], None] = lambda status: None,
        on_end: Callable[[ProcessEnd], None] = lambda end: None,
    ) -> None:
        self._config = config
        self._directory = directory
        self._on_ready = on_ready
        self._on_end = on_end
        self._children: list[ChildProcess] = []
        self._reported_pids: set[int] = set()
        self.address = ""

    @property
    def children(self) -> tuple[ChildProcess, ...]:
        """Every process in the order of its start, ended ones included."""
        return tuple(self._children)

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Run the cluster inside a `with`, ready to serve; at the end its processes end in reverse order.

        Raises AddressInUseError, ProcessFailedError or NotReadyError, with everything stopped again.
        """
        async with AsyncExitStack() as stack:
            if self._config.listen is not None:
                require_free(self._config.listen)
            if self._config.http_listen is not None:
                require_free(self._config.http_listen, "--http-listen")
            redis_url = self._config.redis_url or await self._start_redis(stack)
            plan = self._plan(redis_url)
            # Side by side: the orchestrator waits by itself until a target is ready.
            await self._start_all(stack, (*plan.targets, *plan.drafts, plan.orchestrator))
            self.address = plan.orchestrator.address
            yield

    async def wait_for_failure(self) -> NoReturn:
        """Wait until the cluster cannot go on, then raise ProcessFailedError.

        It goes on without a draft as long as Redis, the orchestrator and a target live.
        """
        waits = {asyncio.ensure_future(child.wait()): child for child in self._children}
        try:
            while True:
                ended, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
                for wait in ended:
                    self._take_loss(waits.pop(wait), wait.result(), waits.values())
        finally:
            for wait in waits:
                wait.cancel()

    def _take_loss(self, child: ChildProcess, exit_code: int, living: Iterable[ChildProcess]) -> None:
        self._report_end(child)
        pool = _pool_of(child)
        if pool != "draft" and all(_pool_of(peer) != pool for peer in living):
            raise _failure(child, exit_code)

    def kill(self) -> None:
        """End every process at once, for users who cannot wait."""
        for child in self._children:
            child.kill()

    async def _start_redis(self, stack: AsyncExitStack) -> str:
        started = monotonic()
        server = await stack.enter_async_context(self._redis())
        about, seconds = "embedded, append-only file", monotonic() - started
        self._on_ready(ProcessStatus("redis", server.process.pid, server.url, about, seconds))
        return server.url

    @asynccontextmanager
    async def _redis(self) -> AsyncGenerator[RedisServer]:
        process: ChildProcess | None = None
        try:
            async with redis_server(self._directory / "redis", self._directory / "redis.log") as server:
                process = server.process
                self._children.append(process)
                yield server
        finally:
            if process is not None:
                self._report_end(process)

    def _plan(self, redis_url: str) -> ClusterPlan:
        return plan_cluster(self._config, free_ports(num_ports(self._config)), redis_url)

    async def _start_all(self, stack: AsyncExitStack, services: Sequence[Service]) -> None:
        """Start services side by side, and wait until all of them serve."""
        children = [await self._start(stack, service) for service in services]
        try:
            async with asyncio.TaskGroup() as waiting:
                for service, child in zip(services, children, strict=True):
                    waiting.create_task(self._wait_until_ready(service, child))
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None  # the others only waited

    async def _start(self, stack: AsyncExitStack, service: Service) -> ChildProcess:
        child = await ChildProcess.start(service.command, self._directory / f"{service.name}.log")
        self._children.append(child)
        stack.push_async_callback(self._stop, child)
        return child

    async def _wait_until_ready(self, service: Service, child: ChildProcess) -> None:
        started = monotonic()
        while not await is_serving(service.address):
            if child.exit_code is not None:
                raise _failure(child, child.exit_code)
            if monotonic() - started > READY_SECONDS:
                raise NotReadyError(child.name, READY_SECONDS, child.log_path)
            await asyncio.sleep(POLL_SECONDS)
        seconds = monotonic() - started
        self._on_ready(ProcessStatus(service.name, child.pid, service.address, service.about, seconds))

    async def _stop(self, child: ChildProcess) -> None:
        await child.stop(KILL_AFTER_SECONDS)
        self._report_end(child)

    def _report_end(self, child: ChildProcess) -> None:
        assert child.exit_code is not None
        if child.pid in self._reported_pids:
            return
        self._reported_pids.add(child.pid)
        self._on_end(ProcessEnd(child.name, child.pid, child.exit_code))


def _pool_of(child: ChildProcess) -> str:
    """The name without the number of the replica."""
    return child.name.partition("-")[0]


def _failure(child: ChildProcess, exit_code: int) -> ProcessFailedError:
    return ProcessFailedError(child.name, exit_code, child.log_path, child.last_lines())
