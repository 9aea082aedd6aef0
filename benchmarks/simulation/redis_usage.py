"""What Redis has done so far, and what a session takes in it."""

from typing import Any, NamedTuple

import redis.asyncio

MAX_SAMPLED_SESSIONS = 200


class RedisUsage(NamedTuple):
    """Since the server's start."""

    num_commands: int
    cpu_seconds: float


async def redis_usage(url: str) -> RedisUsage:
    """Ask a server what it has done; our own asking counts, too, and is one command."""
    async with redis.asyncio.from_url(url) as client:
        information: dict[str, Any] = await client.info("everything")
    cpu_seconds = sum(float(information[name]) for name in ("used_cpu_sys", "used_cpu_user"))
    return RedisUsage(int(information["total_commands_processed"]), cpu_seconds)


async def bytes_per_session(url: str) -> float | None:
    """Return the mean memory of a session's two keys over some of the sessions; None without any."""
    num_bytes = num_sessions = 0
    async with redis.asyncio.from_url(url) as client:
        async for key in client.scan_iter(match="*}:state", count=1000):
            ids_key = key.removesuffix(b"state") + b"ids"
            num_bytes += sum([int(await client.memory_usage(one) or 0) for one in (key, ids_key)])
            num_sessions += 1
            if num_sessions == MAX_SAMPLED_SESSIONS:
                break
    return num_bytes / num_sessions if num_sessions else None
