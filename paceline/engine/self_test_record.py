"""What a self-test has found before, kept beside the model so that a later start need not find it again.

The verdict follows from the weights, the software, the processor and the settings; all of them are in the name of the
record. The first rows of the test are computed at every start and must give the recorded bits, else all is tested.
"""

import json
import os
import platform
from collections.abc import Mapping
from dataclasses import asdict
from hashlib import blake2b
from pathlib import Path
from typing import Any

from paceline.engine.graph.manifest import EXPORTED_FILE, MANIFEST_FILE, WEIGHTS_FILE
from paceline.engine.self_test import SelfTestReport

FOLDER = "self_tests"
# Grows whenever the self-test tests something else.
_VERSION = 1
# Variables of these names choose kernels.
_KERNEL_VARIABLES = ("DNNL_", "ONEDNN_", "OV_", "OPENVINO_")
_WEIGHT_FILES = (MANIFEST_FILE, WEIGHTS_FILE, EXPORTED_FILE, str(Path(EXPORTED_FILE).with_suffix(".bin")))


class SelfTestRecord:
    """The record of one model under one set of circumstances, which may not exist yet."""

    def __init__(self, directory: Path, settings: Mapping[str, Any]) -> None:
        """`settings` are what the model is compiled with, and by what: all that changes its kernels."""
        facts = {"version": _VERSION, "weights": _files(directory), "machine": _machine(), **settings}
        key = blake2b(json.dumps(facts, sort_keys=True, default=str).encode(), digest_size=16).hexdigest()
        self._path = directory / FOLDER / f"{key}.json"

    def read(self) -> SelfTestReport | None:
        """Return what was found, None where nothing was or the file is damaged."""
        try:
            fields: dict[str, Any] = json.loads(self._path.read_text(encoding="utf-8"))
            fields["failed_checks"] = tuple(fields["failed_checks"])
            return SelfTestReport(**fields)
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def write(self, report: SelfTestReport) -> None:
        """Keep a report; where the directory cannot be written to, the next start tests everything again."""
        unfinished = self._path.with_suffix(f".{os.getpid()}")
        try:
            self._path.parent.mkdir(exist_ok=True)
            unfinished.write_text(json.dumps(asdict(report)), encoding="utf-8")
            unfinished.replace(self._path)
        except OSError:
            return


def _files(directory: Path) -> list[tuple[str, int, int]]:
    found = [(name, directory / name) for name in _WEIGHT_FILES]
    stats = [(name, path.stat()) for name, path in found if path.is_file()]
    return [(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats]


def _machine() -> dict[str, object]:
    return {
        "kernel": platform.release(),
        "processor": _processor(),
        "variables": sorted(one for one in os.environ.items() if one[0].startswith(_KERNEL_VARIABLES)),
    }


def _processor() -> list[str]:
    """Model and instruction sets of the first core, where the system tells them."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").partition("\n\n")[0].splitlines()
    except OSError:
        return [platform.processor(), platform.machine()]
    told = ("vendor_id", "cpu family", "model", "stepping", "microcode", "flags", "Features", "CPU")
    return [line for line in lines if line.startswith(told)]
