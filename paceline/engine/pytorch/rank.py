"""The processes of this machine that hold a slice of a model each: which is which, and how they find one another."""

import os
import socket
from dataclasses import dataclass

import torch
from torch import distributed
from torch.distributed import TCPStore  # pyright: ignore[reportPrivateImportUsage] - documented there
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh

from paceline.errors import ConfigError

_HOST = "127.0.0.1"
_BACKENDS = {"cpu": "gloo", "cuda": "nccl"}
# transformers takes from here which of its devices a process computes on, also where it is given a mesh.
_LOCAL_RANK = "LOCAL_RANK"
# Processes of one machine need no other network, and nobody else is to reach them.
_LOOPBACK_ALONE = {"GLOO_SOCKET_IFNAME": "lo", "NCCL_SOCKET_IFNAME": "lo"}


@dataclass(frozen=True)
class Rank:
    """The place of one process.

    Attributes:
        number: 0 is the leader: the process that the engine runs in.
        num_ranks: How many there are.
    """

    number: int
    num_ranks: int

    def device(self, leaders: torch.device) -> torch.device:
        """Return where its slice is computed, given where the leader's is."""
        return torch.device("cuda", self.number) if leaders.type == "cuda" else leaders


def require_devices(device: torch.device, num_ranks: int) -> None:
    """Refuse more slices than there are devices for; raises ConfigError."""
    if device.type == "cpu":
        return
    if device.index:
        message = (
            f"Tensor parallelism takes the CUDA devices from the first one on: give --device cuda instead of {device}, "
            "and name those that this process shall see in CUDA_VISIBLE_DEVICES."
        )
        raise ConfigError(message, setting="device")
    if num_ranks > torch.cuda.device_count():
        message = (
            f"--tensor-parallel {num_ranks} needs as many CUDA devices, and PyTorch sees {torch.cuda.device_count()}. "
            "Give at most that, or make more visible to this process."
        )
        raise ConfigError(message, setting="tensor_parallel")


def open_meeting_place(num_ranks: int) -> TCPStore:
    """Return where the ranks find one another, at a port that the system has chosen.

    It listens on the loopback interface: a store that opens its own socket listens on all. Raises ConfigError where
    this process is one of several already.
    """
    if distributed.is_initialized():
        message = "Another model in slices is loaded in this process already; close it first, or load this one whole."
        raise ConfigError(message, setting="tensor_parallel")
    listening = socket.create_server((_HOST, 0))
    port = listening.getsockname()[1]
    return TCPStore(
        _HOST, port, num_ranks, is_master=True, wait_for_workers=False, master_listen_fd=listening.detach()
    )


def find_meeting_place(port: int, num_ranks: int) -> TCPStore:
    """Return the same place, where another process has opened it."""
    return TCPStore(_HOST, port, num_ranks, is_master=False)


def join(rank: Rank, device: torch.device, meeting_place: TCPStore) -> DeviceMesh:
    """Meet the others and return all of them; waits until the last has come."""
    for name, value in _LOOPBACK_ALONE.items():
        os.environ.setdefault(name, value)
    os.environ[_LOCAL_RANK] = str(device.index or 0)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    distributed.init_process_group(
        _BACKENDS[device.type],
        store=meeting_place,
        rank=rank.number,
        world_size=rank.num_ranks,
        device_id=device if device.type == "cuda" else None,
    )
    return init_device_mesh(device.type, (rank.num_ranks,))


def leave() -> None:
    """Be alone again; the others leave at the same time."""
    if distributed.is_initialized():
        distributed.destroy_process_group()
    os.environ.pop(_LOCAL_RANK, None)
