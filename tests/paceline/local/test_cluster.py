"""A cluster of stand-ins: real processes, a real Redis, no models."""

import asyncio
import signal
import socket
from dataclasses import replace
from pathlib import Path

import pytest
import redis.asyncio as redis

from paceline.local import plan
from paceline.local.cluster import LocalCluster, ProcessEnd, ProcessStatus
from paceline.local.errors import AddressInUseError, ProcessFailedError
from paceline.local.plan import ClusterConfig, ModelChoice

SERVICES = Path(__file__).parent / "services.py"


@pytest.fixture(autouse=True)
def stand_ins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the stand-in instead of each program, with the same flags."""

    def stand_in(module: str, flags: dict[str, object]) -> tuple[str, ...]:
        command = python_module(module, flags)
        return (command[0], str(SERVICES), *command[3:])

    python_module = plan._python_module
    monkeypatch.setattr(plan, "_python_module", stand_in)


class Watched:
    """A cluster and what it told."""

    def __init__(self, config: ClusterConfig, directory: Path) -> None:
        self.ready: list[ProcessStatus] = []
        self.ended: list[ProcessEnd] = []
        self.cluster = LocalCluster(config, directory, self.ready.append, self.ended.append)


def cluster_config(target: str = "big", draft: str = "small") -> ClusterConfig:
    return ClusterConfig(
        ModelChoice(target, "int8", Path("/models") / target),
        ModelChoice(draft, "int4", Path("/models") / draft),
    )


def assert_nothing_runs(watched: Watched) -> None:
    assert watched.cluster.children
    for child in watched.cluster.children:
        assert child.exit_code is not None
        assert not Path(f"/proc/{child.pid}").exists(), child.name  # neither running nor a zombie


async def test_it_starts_with_redis_and_ends_in_reverse_order_with_code_0(tmp_path: Path) -> None:
    watched = Watched(replace(cluster_config(), num_target_replicas=2, num_draft_replicas=2), tmp_path)
    async with watched.cluster.running():
        names = [status.name for status in watched.ready]
        assert names[0] == "redis"
        assert set(names[1:]) == {"target-0", "target-1", "draft-0", "draft-1", "orchestrator"}
        async with redis.Redis.from_url(watched.ready[0].address) as client:
            assert await client.ping()
    assert [end.name for end in watched.ended] == [
        "orchestrator",
        "draft-1",
        "draft-0",
        "target-1",
        "target-0",
        "redis",
    ]
    assert {end.exit_code for end in watched.ended} == {0}
    assert_nothing_runs(watched)


async def test_a_redis_of_the_users_own_is_used_instead_of_an_embedded_one(tmp_path: Path) -> None:
    watched = Watched(replace(cluster_config(), redis_url="redis://elsewhere"), tmp_path)
    async with watched.cluster.running():
        assert "redis" not in [status.name for status in watched.ready]


async def test_a_process_that_cannot_start_shows_its_last_words_and_everything_stops(tmp_path: Path) -> None:
    watched = Watched(cluster_config(draft="broken"), tmp_path)
    with pytest.raises(ProcessFailedError, match="this model is broken") as caught:
        async with watched.cluster.running():
            pass
    assert (caught.value.name, caught.value.exit_code) == ("draft-0", 1)
    assert_nothing_runs(watched)


async def test_cancelling_during_start_up_stops_everything(tmp_path: Path) -> None:
    watched = Watched(cluster_config(draft="stuck"), tmp_path)

    async def run() -> None:
        async with watched.cluster.running():
            raise AssertionError("a cluster with a stuck draft became ready")

    running = asyncio.create_task(run())
    log = tmp_path / "draft-0.log"
    while not (log.exists() and "stuck" in log.read_text()):  # noqa: ASYNC110 - a file tells nobody
        await asyncio.sleep(0.01)
    running.cancel()
    await asyncio.sleep(0)
    while not any(end.name == "draft-0" for end in watched.ended):
        watched.cluster.kill()  # what a second Ctrl-C does: this one ignores SIGTERM
        await asyncio.sleep(0.01)
    with pytest.raises(asyncio.CancelledError):
        await running
    assert_nothing_runs(watched)


async def test_an_address_that_is_taken_is_named_before_anything_starts(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        watched = Watched(replace(cluster_config(), listen=address), tmp_path)
        with pytest.raises(AddressInUseError, match="--listen"):
            async with watched.cluster.running():
                pass
    assert watched.cluster.children == ()


@pytest.mark.parametrize("victim", ["redis", "target-0", "orchestrator"])
async def test_the_loss_of_a_part_that_nothing_replaces_is_noticed(tmp_path: Path, victim: str) -> None:
    watched = Watched(cluster_config(), tmp_path)
    async with watched.cluster.running():
        next(child for child in watched.cluster.children if child.name == victim).kill()
        with pytest.raises(ProcessFailedError) as caught:
            await watched.cluster.wait_for_failure()
    assert (caught.value.name, caught.value.exit_code) == (victim, -signal.SIGKILL)
    assert_nothing_runs(watched)


async def test_the_loss_of_a_draft_or_of_one_target_of_two_is_no_failure(tmp_path: Path) -> None:
    watched = Watched(replace(cluster_config(), num_target_replicas=2), tmp_path)
    async with watched.cluster.running():
        children = {child.name: child for child in watched.cluster.children}
        watching = asyncio.create_task(watched.cluster.wait_for_failure())
        for name in ("draft-0", "target-1"):
            children[name].kill()
            await children[name].wait()
        children["target-0"].kill()
        with pytest.raises(ProcessFailedError) as caught:
            await watching
    assert caught.value.name == "target-0"
    assert [end.name for end in watched.ended[:3]] == ["draft-0", "target-1", "target-0"]
    assert len({end.name for end in watched.ended}) == len(watched.ended)
