"""What must not be left when all faults are over and all clients are content."""

import asyncio
import re
import struct
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import grpc.aio

from paceline.v1 import (
    draft_service_pb2,
    draft_service_pb2_grpc,
    round_pb2,
    target_service_pb2,
    target_service_pb2_grpc,
)
from tests.chaos.cluster import LEASE_SECONDS, SESSION_TTL_SECONDS
from tests.chaos.system import System

PREFIX = "paceline"
QUIET_SECONDS = 5.0
POLL_SECONDS = 0.1
_ANY_EPOCH = (1 << 63) - 1
# What a log must not hold: an exception nobody handled, a task nobody waited for.
_ALARMING = re.compile(
    r"Traceback|Task was destroyed|never retrieved|never awaited|Unhandled|Segmentation|terminate called"
)
# Where tasks wait that belong to one session or one round.
_PLACES_OF_WORK = (
    "orchestrator/generation.py",
    "orchestrator/ownership.py",
    "orchestrator/session_draft.py",
    "orchestrator/session_target.py",
    "paceline/serving/session.py",
    "target_service/verifier.py",
    "draft_service/session.py",
)


@dataclass(frozen=True)
class StoredSession:
    """A session in Redis; `lease_seconds` until its lease ends, None where it holds none."""

    session_id: str
    status: str
    lease_seconds: float | None
    ttl_seconds: tuple[float, float]  # of its two keys, negative for never


async def stored_sessions(redis: Any) -> list[StoredSession]:
    """Return every session, and fail on a key that belongs to none."""
    seconds, microseconds = await redis.time()
    now_ms = seconds * 1000 + microseconds / 1000
    found: list[StoredSession] = []
    async for key in redis.scan_iter(f"{PREFIX}:*:state"):
        session_id = key.decode().split("{")[1].split("}")[0]
        ids_key = f"{PREFIX}:{{{session_id}}}:ids"
        fields = {name.decode(): value for name, value in (await redis.hgetall(key)).items()}
        deadline_ms = int(fields.get("lease_deadline_ms", b"0"))
        found.append(
            StoredSession(
                session_id,
                fields["status"].decode(),
                (deadline_ms - now_ms) / 1000 if deadline_ms else None,
                (await redis.ttl(key), await redis.ttl(ids_key)),
            )
        )
    return found


async def stored_state(cluster: System, session_id: str) -> dict[str, bytes]:
    """Return the fields of a session as Redis has them."""
    async with cluster.redis() as redis:
        fields = await redis.hgetall(f"{PREFIX}:{{{session_id}}}:state")
    return {name.decode(): value for name, value in fields.items()}


async def stored_ids(cluster: System, session_id: str) -> list[int]:
    """Return the ids of a session as Redis has them, the prompt's included."""
    async with cluster.redis() as redis:
        packed = await redis.get(f"{PREFIX}:{{{session_id}}}:ids") or b""
    return list(struct.unpack(f"<{len(packed) // 4}I", packed))


async def owner_of(cluster: System, session_id: str) -> str:
    """Return the target replica whose cache serves a session."""
    return (await stored_state(cluster, session_id))["target_replica"].decode()


async def held_leases(cluster: System) -> list[StoredSession]:
    """Return the sessions that somebody still owns, after a lease's time at the latest."""
    async with cluster.redis() as redis:
        deadline = time.monotonic() + LEASE_SECONDS + QUIET_SECONDS
        while True:
            held = [one for one in await stored_sessions(redis) if (one.lease_seconds or -1) > 0]
            if not held or time.monotonic() > deadline:
                return held
            await asyncio.sleep(POLL_SECONDS)


async def stored_violations(cluster: System) -> list[str]:
    """Return what is wrong with Redis' keys."""
    wrong = [
        f"the lease of session {one.session_id} is still held: {one}" for one in await held_leases(cluster)
    ]
    async with cluster.redis() as redis:
        wrong += [
            f"keys that do not live as long as they should: {session}"
            for session in await stored_sessions(redis)
            if not all(0 < seconds <= SESSION_TTL_SECONDS for seconds in session.ttl_seconds)
        ]
        keys = [key async for key in redis.scan_iter("*") if b"{" in key]
        wrong += [f"the key {key!r} lives for ever" for key in keys if await redis.ttl(key) == -1]
    return wrong


async def held_caches(cluster: System, session_ids: Iterable[str]) -> Mapping[str, int]:
    """Release sessions at every replica, and return how many each had still known; sessions that ended have none."""
    releases = [round_pb2.SessionRelease(session_id=one, epoch=_ANY_EPOCH) for one in session_ids]
    held: dict[str, int] = {}
    for name in (*cluster.topology.targets, *cluster.topology.drafts):
        async with grpc.aio.insecure_channel(cluster.service_address(name)) as channel:
            for start in range(0, len(releases), 4096):
                part = releases[start : start + 4096]
                held[name] = held.get(name, 0) + await _release(name, channel, part)
    return held


async def _release(name: str, channel: grpc.aio.Channel, releases: Sequence[round_pb2.SessionRelease]) -> int:
    if name.startswith("target"):
        target = target_service_pb2_grpc.TargetServiceStub(channel)
        answer = await target.ReleaseSessions(
            target_service_pb2.TargetServiceReleaseSessionsRequest(sessions=releases)
        )
        return answer.num_released
    draft = draft_service_pb2_grpc.DraftServiceStub(channel)
    answer = await draft.ReleaseSessions(
        draft_service_pb2.DraftServiceReleaseSessionsRequest(sessions=releases)
    )
    return answer.num_released


async def lingering_tasks(cluster: System) -> list[str]:
    """Return tasks of generations and rounds, which must have ended with them."""
    names = (*cluster.topology.orchestrators, *cluster.topology.targets, *cluster.topology.drafts)
    return [
        f"{name}: {task}"
        for name in names
        for task in await cluster.nodes[name].tasks()
        if any(place in task for place in _PLACES_OF_WORK)
    ]


def alarming_lines(cluster: System) -> list[str]:
    """Return what the logs hold and must not."""
    found: list[str] = []
    for path in sorted(cluster.directory.glob("*.log")):
        with path.open(encoding="utf-8", errors="replace") as log:
            found += [f"{path.name}: {line.strip()[:2000]}" for line in log if _ALARMING.search(line)]
    return found
