"""Replaces the pods of a deployment one after the other, as its strategy says."""

import asyncio
import time
from dataclasses import dataclass

from tests.chaos.aftermath import PREFIX, stored_state
from tests.chaos.image import CURRENT, Image
from tests.chaos.pod import Pod, PodEnd
from tests.chaos.rolling_cluster import RollingCluster

_OWNER_FIELDS = {"target": "target_replica", "draft": "draft_replica", "orchestrator": "orchestrator"}


@dataclass(frozen=True)
class Replacement:
    """A pod that has taken another one's place.

    Attributes:
        old: The pod that went.
        new: The one that came.
        ready_seconds: From the start of the new one until it was ready.
        end: When the old one ended.
        over_at: When the new one was available and the old one had gone, on the monotonic clock.
        gone_time: When the old one had gone, in seconds since 1970, which is the clock of records.
        session_ids: Sessions that ran there when it was told to end.
    """

    old: str
    new: str
    ready_seconds: float
    end: PodEnd
    over_at: float
    gone_time: float
    session_ids: frozenset[str]

    @property
    def end_seconds(self) -> float:
        """From SIGTERM until the process had gone."""
        return self.end.gone_at - self.end.signalled_at

    async def num_moved(self, cluster: RollingCluster) -> int:
        """How many of its sessions went on after its end, elsewhere by then."""
        states = [await stored_state(cluster, session_id) for session_id in self.session_ids]
        return sum(int(state["updated_ms"]) / 1000 > self.gone_time for state in states)


async def replace_pods(cluster: RollingCluster, pool: str, image: Image = CURRENT) -> list[Replacement]:
    """Replace every pod of a pool; returns when the new ones are available and the old ones have gone.

    With a surge a new pod is available before an old one is told to end, and the next one comes while that ends.
    Without one the old pod has to be gone first, as where a node's accelerator is taken until then.
    """
    deployment = cluster.deployments[pool]
    assert deployment.max_surge + deployment.max_unavailable == 1, "this replaces one pod at a time"
    replacing: list[asyncio.Task[Replacement]] = []
    async with asyncio.TaskGroup() as group:
        for old in list(cluster.pods[pool]):
            if deployment.max_surge:
                new = await _available_pod(cluster, pool, image)
                replacing.append(group.create_task(_end(cluster, pool, old, new)))
            else:
                replacing.append(group.create_task(_replace(cluster, pool, old, image)))
                await replacing[-1]
    return [one.result() for one in replacing]


async def _available_pod(cluster: RollingCluster, pool: str, image: Image) -> Pod:
    pod = await cluster.add(pool, image)
    await pod.until_available()
    return pod


async def _end(cluster: RollingCluster, pool: str, old: Pod, new: Pod) -> Replacement:
    session_ids = await _running_at(cluster, pool, old.name)
    end = await cluster.end(pool, old)
    return _replacement(old, new, end, time.time(), session_ids)


async def _replace(cluster: RollingCluster, pool: str, old: Pod, image: Image) -> Replacement:
    session_ids = await _running_at(cluster, pool, old.name)
    end = await cluster.end(pool, old)
    gone_time = time.time()
    return _replacement(old, await _available_pod(cluster, pool, image), end, gone_time, session_ids)


def _replacement(
    old: Pod, new: Pod, end: PodEnd, gone_time: float, session_ids: frozenset[str]
) -> Replacement:
    assert new.ready_seconds is not None, "it is available"
    return Replacement(old.name, new.name, new.ready_seconds, end, time.monotonic(), gone_time, session_ids)


async def _running_at(cluster: RollingCluster, pool: str, name: str) -> frozenset[str]:
    """Return the running sessions that a pod owns or serves, by their records."""
    found: set[str] = set()
    async with cluster.redis() as redis:
        async for key in redis.scan_iter(f"{PREFIX}:*:state"):
            owner, status = await redis.hmget(key, _OWNER_FIELDS[pool], "status")
            if pool == "orchestrator":  # each of its processes has a name of its own
                owner = owner.rpartition(b"-")[0]
            if status == b"running" and owner.decode() == name:
                found.add(key.decode().split("{")[1].split("}")[0])
    return frozenset(found)
