"""Energy that the machine used, where it counts it: processors by the kernel's RAPL, accelerators by NVML."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

POWERCAP_DIRECTORY = Path("/sys/class/powercap")
_MICROJOULES, _MILLIJOULES = 1e-6, 1e-3

# Joules by counter, from an arbitrary start.
Reading = Mapping[str, float]


class EnergyMeter(Protocol):
    """Counters of energy; `source` is their name in findings."""

    @property
    def source(self) -> str:
        """Where the figures come from, or why there are none."""
        ...

    def read(self) -> Reading:
        """Return what the counters show; empty where nothing can be read."""
        ...

    def joules_between(self, before: Reading, after: Reading) -> float | None:
        """Return the joules between two readings; None where they show none."""
        ...


@dataclass(frozen=True)
class _Package:
    """A processor: its counter, and where that begins again from 0, in microjoules."""

    counter: Path
    range_microjoules: int


class RaplMeter:
    """Counts what the processors of this machine use, all programs together, idle cores included."""

    source = "rapl"

    def __init__(self, directory: Path = POWERCAP_DIRECTORY) -> None:
        """Find the counters that this user may read; many systems let only root."""
        self._packages = {path.name: package for path, package in _packages(directory)}

    @property
    def is_readable(self) -> bool:
        """Whether there is a counter."""
        return bool(self._packages)

    def read(self) -> Reading:
        """Return the joules of each processor."""
        return {
            name: int(package.counter.read_text()) * _MICROJOULES for name, package in self._packages.items()
        }

    def joules_between(self, before: Reading, after: Reading) -> float | None:
        """Return the joules of all processors; a counter that has begun again is made good, once."""
        total = 0.0
        for name in before.keys() & after.keys():
            used = after[name] - before[name]
            total += used if used >= 0 else used + self._packages[name].range_microjoules * _MICROJOULES
        return total


class NvmlMeter:
    """Counts what the accelerators of this machine use; needs the package nvidia-ml-py."""

    source = "nvml"

    def __init__(self, nvml: Any) -> None:
        """Find the accelerators that count; `nvml` is the package's module."""
        self._nvml = nvml
        self._devices: dict[str, Any] = {}
        try:
            nvml.nvmlInit()
            for index in range(nvml.nvmlDeviceGetCount()):
                device = nvml.nvmlDeviceGetHandleByIndex(index)
                nvml.nvmlDeviceGetTotalEnergyConsumption(device)
                self._devices[str(index)] = device
        except nvml.NVMLError:
            return  # no driver, or accelerators that do not count

    @property
    def is_readable(self) -> bool:
        """Whether there is a counter."""
        return bool(self._devices)

    def read(self) -> Reading:
        """Return the joules of each accelerator since its driver was loaded."""
        return {
            name: self._nvml.nvmlDeviceGetTotalEnergyConsumption(device) * _MILLIJOULES
            for name, device in self._devices.items()
        }

    def joules_between(self, before: Reading, after: Reading) -> float | None:
        """Return the joules of all accelerators."""
        return sum(after[name] - before[name] for name in before.keys() & after.keys())


class SeveralMeters:
    """Several meters together, of parts that do not overlap; none of them: nothing can be read."""

    def __init__(self, meters: Sequence[RaplMeter | NvmlMeter]) -> None:
        self._meters = {meter.source: meter for meter in meters}

    @property
    def source(self) -> str:
        """The names of the meters, or why there are none."""
        return " and ".join(self._meters) or "not measured: this user can read neither RAPL nor NVML here"

    def read(self) -> Reading:
        """Return what all counters show."""
        return {
            f"{source} {name}": joules
            for source, meter in self._meters.items()
            for name, joules in meter.read().items()
        }

    def joules_between(self, before: Reading, after: Reading) -> float | None:
        """Return the joules of all parts; None without a meter."""
        found = [
            joules
            for source, meter in self._meters.items()
            if (joules := meter.joules_between(_part(before, source), _part(after, source))) is not None
        ]
        return sum(found) if found else None


def find_meter() -> EnergyMeter:
    """Return a meter of all that can be read here."""
    rapl = RaplMeter()
    meters: list[RaplMeter | NvmlMeter] = [rapl] if rapl.is_readable else []
    if find_spec("pynvml") is not None:
        nvml = NvmlMeter(import_module("pynvml"))
        meters += [nvml] if nvml.is_readable else []
    return SeveralMeters(meters)


def _packages(directory: Path) -> list[tuple[Path, _Package]]:
    """The processors, not the parts of them that are counted once more (as "intel-rapl:0:1", or "psys")."""
    found: list[tuple[Path, _Package]] = []
    for path in sorted(directory.glob("intel-rapl:*")):
        try:
            if path.name.count(":") != 1 or not (path / "name").read_text().startswith("package"):
                continue
            int((path / "energy_uj").read_text())
            range_microjoules = int((path / "max_energy_range_uj").read_text())
        except (OSError, ValueError):
            continue
        found.append((path, _Package(path / "energy_uj", range_microjoules)))
    return found


def _part(reading: Reading, source: str) -> Reading:
    prefix = f"{source} "
    return {name.removeprefix(prefix): joules for name, joules in reading.items() if name.startswith(prefix)}
