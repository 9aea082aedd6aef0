"""Counters of energy, as the kernel and NVIDIA's library show them."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from paceline.cli.evaluation.energy import NvmlMeter, RaplMeter, SeveralMeters, find_meter

RANGE = 1_000_000


def processor(directory: Path, name: str, label: str, microjoules: int) -> Path:
    path = directory / name
    path.mkdir(parents=True)
    (path / "name").write_text(f"{label}\n")
    (path / "energy_uj").write_text(f"{microjoules}\n")
    (path / "max_energy_range_uj").write_text(f"{RANGE}\n")
    return path


def test_processors_are_added_up_and_their_parts_left_out(tmp_path: Path) -> None:
    first = processor(tmp_path, "intel-rapl:0", "package-0", 100_000)
    second = processor(tmp_path, "intel-rapl:1", "package-1", 200_000)
    part = processor(tmp_path, "intel-rapl:0:0", "core", 50_000)
    whole = processor(tmp_path, "intel-rapl:2", "psys", 50_000)
    meter = RaplMeter(tmp_path)
    before = meter.read()
    for path, microjoules in ((first, 400_000), (second, 300_000), (part, 90_000), (whole, 90_000)):
        (path / "energy_uj").write_text(f"{microjoules}\n")
    assert meter.joules_between(before, meter.read()) == pytest.approx(0.4)


def test_a_counter_that_begins_again_is_made_good(tmp_path: Path) -> None:
    path = processor(tmp_path, "intel-rapl:0", "package-0", 900_000)
    meter = RaplMeter(tmp_path)
    before = meter.read()
    (path / "energy_uj").write_text("200000\n")
    assert meter.joules_between(before, meter.read()) == pytest.approx(0.3)


def test_counters_that_cannot_be_read_do_not_count(tmp_path: Path) -> None:
    (processor(tmp_path, "intel-rapl:0", "package-0", 1) / "energy_uj").unlink()
    assert not RaplMeter(tmp_path).is_readable
    assert not RaplMeter(tmp_path / "nowhere").is_readable


class FakeNvml(SimpleNamespace):
    class NVMLError(Exception):
        pass

    millijoules: tuple[int, ...] = (1000, 2000)

    def nvmlInit(self):  # noqa: N802, the library's name
        if not self.millijoules:
            raise self.NVMLError

    def nvmlDeviceGetCount(self):  # noqa: N802, the library's name
        return len(self.millijoules)

    def nvmlDeviceGetHandleByIndex(self, index):  # noqa: N802, the library's name
        return index

    def nvmlDeviceGetTotalEnergyConsumption(self, device):  # noqa: N802, the library's name
        return self.millijoules[device]


def test_accelerators_are_added_up() -> None:
    nvml = FakeNvml()
    meter = NvmlMeter(nvml)
    before = meter.read()
    nvml.millijoules = (1500, 2700)
    assert meter.joules_between(before, meter.read()) == pytest.approx(1.2)


def test_without_a_driver_there_are_no_accelerators() -> None:
    assert not NvmlMeter(FakeNvml(millijoules=())).is_readable


def test_several_meters_are_one(tmp_path: Path) -> None:
    path = processor(tmp_path, "intel-rapl:0", "package-0", 0)
    nvml = FakeNvml()
    meter = SeveralMeters([RaplMeter(tmp_path), NvmlMeter(nvml)])
    before = meter.read()
    (path / "energy_uj").write_text("500000\n")
    nvml.millijoules = (1500, 2000)
    assert meter.joules_between(before, meter.read()) == pytest.approx(1.0)
    assert meter.source == "rapl and nvml"


def test_no_meter_says_why() -> None:
    meter = SeveralMeters([])
    assert meter.joules_between(meter.read(), meter.read()) is None
    assert meter.source.startswith("not measured")


def test_this_machine_has_a_meter_or_says_why_not() -> None:
    meter = find_meter()
    joules = meter.joules_between(meter.read(), meter.read())
    assert (joules is None) == meter.source.startswith("not measured")
