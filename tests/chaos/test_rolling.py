"""All targets, then all drafts, then all orchestrators are replaced under load, as the manifests in k8s/ do it.

Real processes and the manifests' own strategies, probes, signals and grace periods; no client sees an error or another
token, and no process needs SIGKILL. Waits that only pass time are shorter here; the slow tests have them in full.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from k8s.manifests import ROOT, build, kustomize_program
from tests.chaos.aftermath import alarming_lines
from tests.chaos.deployment import BASE, Deployment, manifests_of
from tests.chaos.job import Job, long_jobs
from tests.chaos.load import load
from tests.chaos.name_service import refusal
from tests.chaos.record import Record
from tests.chaos.rolling_cluster import POOLS, RollingCluster, RollingSettings, rolling_cluster
from tests.chaos.rollout import Replacement, replace_pods
from tests.chaos.run import leftovers
from tests.chaos.shipped_client import Wait
from tests.chaos.undisturbed import answered

NUM_CLIENTS = 8
NUM_JOBS = 6


@pytest.fixture
def rolling_directory(short_directory: Path) -> Path:
    if reason := refusal(short_directory):
        pytest.skip(reason)
    return short_directory


def require_kustomize() -> None:
    if kustomize_program() is None:
        pytest.skip("neither kubectl nor kustomize is installed: make manifests-check brings kubectl")


class Row(NamedTuple):
    """What a replacement came to."""

    replacement: Replacement
    num_moved: int
    longest_wait: float

    def __str__(self) -> str:
        one = self.replacement
        return (
            f"{one.old:>16} -> {one.new:16} {one.ready_seconds:6.1f} s until ready, {one.end_seconds:5.2f} s to end, "
            f"{len(one.session_ids):3} streams, {self.num_moved:3} moved, longest pause {self.longest_wait:.2f} s"
        )


def overlapping(waits: Sequence[Wait], one: Replacement) -> Iterator[float]:
    """Yield the seconds of waits that a stream had while a pod was replaced."""
    for wait in waits:
        if wait.began_at < one.over_at and wait.ended_at > one.end.ordered_at:
            yield wait.seconds


async def replace_everything(
    cluster: RollingCluster, jobs: Sequence[Job], record: Record, num_clients: int = NUM_CLIENTS
) -> Mapping[str, list[Row]]:
    """Replace every pod under load; return what came of it by pool, once all clients have their last answers."""
    async with load(cluster.orchestrator_addresses, jobs, record, num_clients) as waits:
        replaced = {pool: await replace_pods(cluster, pool) for pool in POOLS}
    return {
        pool: [
            Row(one, await one.num_moved(cluster), max(overlapping(waits, one), default=0.0))
            for one in replacements
        ]
        for pool, replacements in replaced.items()
    }


async def roll(
    settings: RollingSettings,
    directory: Path,
    *,
    num_rounds: int = 1,
    num_clients: int = NUM_CLIENTS,
    moving: Collection[str] = ("target", "orchestrator"),
) -> None:
    """Replace everything so many times; streams must have moved at pods of the pools that are `moving`."""
    record = Record()
    async with rolling_cluster(settings, directory) as cluster:
        jobs = await answered(cluster, list(long_jobs(seed=3, num_jobs=NUM_JOBS)))
        rows = [await replace_everything(cluster, jobs, record, num_clients) for _ in range(num_rounds)]
        wrong = [*record.wrong, *await leftovers(cluster, record, settings.session_idle_seconds)]
    print(
        f"\n{settings.overlay}: {record.num_finished} streams with {record.num_tokens} tokens by {num_clients} clients"
    )
    print(*(row for pools in rows for pool in pools.values() for row in pool), sep="\n")
    assert not wrong + cluster.failures + alarming_lines(cluster)
    for pools in rows:
        assert {pool: len(found) for pool, found in pools.items()} == {
            pool: len(cluster.pods[pool]) for pool in POOLS
        }
        assert all(any(row.num_moved for row in pools[pool]) for pool in moving), "no stream moved"


@pytest.mark.timeout(300)
async def test_pods_are_replaced_under_load_and_no_client_notices(rolling_directory: Path) -> None:
    await roll(RollingSettings(scale=0.02), rolling_directory)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("overlay", [BASE, "production"])
async def test_pods_are_replaced_with_all_the_time_that_the_manifests_give(
    overlay: str, rolling_directory: Path
) -> None:
    if overlay != BASE:
        require_kustomize()
    replicas = {"target": 3, "draft": 3, "orchestrator": 3}
    settings = RollingSettings(overlay, 1.0, num_replicas=replicas)
    # Streams are shorter than orchestrators that drain let them go on.
    await roll(settings, rolling_directory, moving=("target",))


@pytest.mark.slow
@pytest.mark.timeout(1800)
async def test_names_that_are_half_a_minute_old_break_nothing(rolling_directory: Path) -> None:
    await roll(RollingSettings(scale=0.3, name_age_seconds=30.0), rolling_directory)


@pytest.mark.slow
@pytest.mark.timeout(1800)
async def test_pods_are_replaced_again_and_again(rolling_directory: Path) -> None:
    replicas = {"target": 4, "draft": 4, "orchestrator": 4}
    settings = RollingSettings(num_replicas=replicas)
    await roll(settings, rolling_directory, num_rounds=3, num_clients=2 * NUM_CLIENTS)


def test_the_base_is_read_as_kustomize_builds_it() -> None:
    require_kustomize()
    built = build(ROOT / BASE)
    for pool in POOLS:
        name = f"paceline-{pool}"
        assert Deployment.of(name, manifests_of(BASE)) == Deployment.of(name, built)
