"""Starting and ending a peer's process."""

import os
from pathlib import Path

import pytest

from benchmarks.peers.process import PeerFailedError, all_cores, command_of, peer_process
from benchmarks.peers.setup import Model, PeerSetup, read_setup, write_setup
from paceline.local.core_assignment import Cores

NOWHERE = Model("none", "int8", Path("no-such-directory"))
AVAILABLE = Cores(range(4))


def setup(peer: str, *, has_network: bool = False) -> PeerSetup:
    return PeerSetup(peer, NOWHERE, NOWHERE, "draft=0,target=1-2", has_network=has_network)  # pyright: ignore[reportArgumentType]


async def test_a_peer_that_cannot_load_its_model_says_why_and_is_gone(tmp_path: Path) -> None:
    cores = min(os.sched_getaffinity(0))
    broken = PeerSetup("genai", NOWHERE, None, f"target={cores}")
    # Without the extra `bench` it is the missing package that it names.
    with pytest.raises(PeerFailedError, match=r"no-such-directory|openvino_genai"):
        async with peer_process(broken, tmp_path, Cores(os.sched_getaffinity(0))):
            pytest.fail("it must not become ready")


def test_a_peer_gets_all_cores_that_are_named_and_ours_pins_its_own_pools() -> None:
    assert all_cores("draft=0,target=1-2", AVAILABLE) == {0, 1, 2}
    assert command_of(setup("genai"), Path("socket"), AVAILABLE).cores == {0, 1, 2}
    assert command_of(setup("ours"), Path("socket"), AVAILABLE).cores is None


def test_a_peer_with_a_network_begins_in_a_namespace_of_its_own() -> None:
    arguments = command_of(setup("ours", has_network=True), Path("socket"), AVAILABLE).arguments
    assert arguments[:2] == ("unshare", "--net")


def test_a_set_up_comes_back_as_it_was() -> None:
    assert read_setup(write_setup(setup("ours", has_network=True))) == setup("ours", has_network=True)
