"""The device that computes: what it is, how much memory is free, and how fast that memory is."""

import gc
import shutil
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import perf_counter

import torch

from benchmarks.passes.floor import copied_bytes_per_second
from paceline.cli.benchmark.spread import Spread, spread_of
from paceline.serving.config import pin_to_cores, usable_cores

# Many times what the device's caches hold.
_COPY_BYTES = {"cuda": 2 << 30, "cpu": 256 << 20}
_NUM_COPIES = 2
_NUM_REPEATS = 5


def describe(device: torch.device) -> dict[str, object]:
    """Return what a reader has to know of the device to compare numbers."""
    if device.type != "cuda":
        return {
            "threads": torch.get_num_threads(),
            "capability": torch.backends.cpu.get_cpu_capability(),
        }
    properties = torch.cuda.get_device_properties(device)
    return {
        "name": properties.name,
        "memory_gib": round(properties.total_memory / 2**30, 1),
        "num_multiprocessors": properties.multi_processor_count,
        "capability": f"{properties.major}.{properties.minor}",
        "driver": _driver_version(),
        "cuda": torch.version.cuda,
    }


def free_bytes(device: torch.device) -> int:
    """Return how much memory is free there."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    available = Path("/proc/meminfo").read_text(encoding="utf-8").partition("MemAvailable:")[2]
    return int(available.split()[0]) << 10


def copy_bandwidth(device: torch.device) -> Spread:
    """Return bytes read and written a second by large copies within the device's memory."""
    num_bytes = min(_COPY_BYTES[device.type], free_bytes(device) // 4)
    source = torch.ones(num_bytes, dtype=torch.uint8, device=device)
    destination = torch.empty_like(source)
    finish = _finisher(device)
    destination.copy_(source)
    found: list[float] = []
    for _ in range(_NUM_REPEATS):
        finish()
        started = perf_counter()
        for _ in range(_NUM_COPIES):
            destination.copy_(source)
        finish()
        found.append(copied_bytes_per_second(_NUM_COPIES * num_bytes, perf_counter() - started))
    spread = spread_of(found)
    assert spread is not None
    return spread


def compute_on(cores: tuple[int, ...]) -> None:
    """Pin the process to cores, and let torch have a thread for each; raises ConfigError for one that is not ours."""
    pin_to_cores(cores)
    torch.set_num_threads(len(usable_cores()))


def release(device: torch.device) -> None:
    """Give back memory that nothing uses any more."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


def _finisher(device: torch.device) -> Callable[[], None]:
    """Return what waits until the device has done all that it was given."""
    return partial(torch.cuda.synchronize, device) if device.type == "cuda" else lambda: None


def _driver_version() -> str:
    program = shutil.which("nvidia-smi")
    if program is None:
        return "unknown"
    command = [program, "--query-gpu=driver_version", "--format=csv,noheader"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return (done.stdout.splitlines() or ["unknown"])[0].strip()
