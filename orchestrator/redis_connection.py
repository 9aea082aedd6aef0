"""A client of Redis for each way in which it can be deployed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis, RedisCluster
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import ExponentialWithJitterBackoff, NoBackoff
from redis.exceptions import RedisClusterException, RedisError

from orchestrator.errors import SessionStoreUnavailableError
from orchestrator.redis_address import RedisAddress, Topology

RedisClient = Redis | RedisCluster

_MAX_BACKOFF_SECONDS = 0.2
_MIN_BACKOFF_SECONDS = 0.01
_MAX_MESSAGE = 200  # characters: redis-py quotes whole commands in some errors


@dataclass(frozen=True)
class ConnectionLimits:
    """How long and how often is tried, and over how many connections.

    Attributes:
        timeout_seconds: Seconds that one attempt may take to connect, and then to answer.
        num_retries: Further attempts after a failed one.
        max_connections: Most connections at once; with a cluster, to each node.
    """

    timeout_seconds: float
    num_retries: int
    max_connections: int

    @property
    def deadline_seconds(self) -> float:
        """Seconds after which a command is given up, whatever a client's own retries come to."""
        return (self.num_retries + 1) * (2 * self.timeout_seconds + _MAX_BACKOFF_SECONDS)


@asynccontextmanager
async def redis_client(address: RedisAddress, limits: ConnectionLimits) -> AsyncIterator[RedisClient]:
    """Hold a client inside a `with`; its first command finds out if the server is there."""
    timeouts: dict[str, Any] = {
        "protocol": 2,  # fewer bytes to parse
        "socket_timeout": limits.timeout_seconds,
        "socket_connect_timeout": limits.timeout_seconds,
    }
    backoff = ExponentialWithJitterBackoff(cap=_MAX_BACKOFF_SECONDS, base=_MIN_BACKOFF_SECONDS)
    common: dict[str, Any] = {
        **timeouts,
        **address.options,
        "max_connections": limits.max_connections,
        "retry": Retry(backoff, limits.num_retries),
    }
    match address.topology:
        case Topology.SERVER:
            client = Redis(host=address.nodes[0].host, port=address.nodes[0].port, **common)
        case Topology.SOCKET:
            client = Redis(unix_socket_path=address.path, **common)
        case Topology.CLUSTER:
            client = RedisCluster(startup_nodes=[ClusterNode(*node) for node in address.nodes], **common)
        case Topology.SENTINEL:
            async with _master_client(address, timeouts, common) as client:
                yield client
            return
    try:
        yield client
    finally:
        await client.aclose()


@asynccontextmanager
async def _master_client(
    address: RedisAddress, timeouts: dict[str, Any], common: dict[str, Any]
) -> AsyncIterator[Redis]:
    """Hold a client of whichever server is the master."""
    # The master's client tries again; each Sentinel is asked once each time.
    of_sentinels = {**timeouts, **address.sentinel_options, "retry": Retry(NoBackoff(), 0)}
    async with Sentinel(address.nodes, sentinel_kwargs=of_sentinels) as sentinel:
        client: Redis = sentinel.master_for(address.service_name, **common)
        try:
            yield client
        finally:
            await client.aclose()


class unavailable_if_redis_fails:  # noqa: N801, a block reads best in lower case
    """Turns whatever Redis or its client raises into SessionStoreUnavailableError, and loses no cancellation.

    redis-py sends through `asyncio.wait_for`, which on Python 3.11 swallows one that comes just when it is done.
    """

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if isinstance(error, RedisError | RedisClusterException | OSError):
            cause = f"{type(error).__name__}: {error}"[:_MAX_MESSAGE]
            message = f"the session store does not answer ({cause}); try again later"
            raise SessionStoreUnavailableError(message) from error
        task = asyncio.current_task()
        if error is None and task is not None and task.cancelling():
            raise asyncio.CancelledError
