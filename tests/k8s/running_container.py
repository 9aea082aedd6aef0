"""A container that runc runs, and what the machine says of its processes."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RUNTIME = "runc"  # what containerd uses

# Run inside: tries to make a file in each folder that is named, and prints what came of it.
WRITER = """
import errno, json, sys
def outcome(folder):
    try:
        open(folder + "/written", "w").close()
    except OSError as error:
        return errno.errorcode[error.errno]
    return "written"
print(json.dumps({folder: outcome(folder) for folder in sys.argv[1:]}))
"""


@dataclass(frozen=True)
class Confinement:
    """What the kernel says of all threads of a container's first process.

    Attributes:
        user_ids: Real, effective, saved and filesystem uids and gids.
        capabilities: Of all five sets, as bits.
        seccomp_modes: 2 is a filter.
        root_options: How its root is mounted.
    """

    user_ids: frozenset[int]
    capabilities: int
    no_new_privileges: frozenset[int]
    seccomp_modes: frozenset[int]
    root_options: frozenset[str]


@dataclass(frozen=True)
class Stopped:
    """How a container has ended after SIGTERM."""

    exit_code: int
    seconds: float


class RunningContainer:
    """A container from its start to its end; what it prints goes to `log`."""

    def __init__(self, name: str, spec: Mapping[str, Any], folder: Path) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        bundle = folder / name
        bundle.mkdir()
        (bundle / "config.json").write_text(json.dumps(spec), encoding="utf-8")
        self._runtime = (RUNTIME, "--root", str(folder / "state"))
        with self.log.open("w") as log:
            self._process = subprocess.Popen(
                [*self._runtime, "run", "--bundle", str(bundle), name], stdout=log, stderr=subprocess.STDOUT
            )

    def wait(self) -> int:
        """Return the exit code of a container that ends by itself."""
        return self._process.wait()

    def require_running(self) -> None:
        assert self._process.poll() is None, f"{self.name}: {self.log.read_text()[-4000:]}"

    def confinement(self) -> Confinement:
        pid = self._pid()
        tasks = [_fields(path) for path in Path(f"/proc/{pid}/task").glob("*/status")]
        sets = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")
        mounts = [line.split() for line in Path(f"/proc/{pid}/mounts").read_text().splitlines()]
        (options,) = [options for _, place, _, options, *_ in mounts if place == "/"]
        return Confinement(
            frozenset(int(one) for task in tasks for key in ("Uid", "Gid") for one in task[key].split()),
            max(int(task[key], 16) for task in tasks for key in sets),
            frozenset(int(task["NoNewPrivs"]) for task in tasks),
            frozenset(int(task["Seccomp"]) for task in tasks),
            frozenset(options.split(",")),
        )

    def tries_to_write(self, *folders: str) -> dict[str, str]:
        """Return what comes of making a file in each folder, as a process of the container: written, or an error."""
        command = [*self._runtime, "exec", self.name, "python", "-c", WRITER, *folders]
        return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    def resident_mib(self) -> int:
        """Return the most memory that its first process has held, in MiB."""
        return int(_fields(Path(f"/proc/{self._pid()}/status"))["VmHWM"].split()[0]) >> 10

    def terminate(self, grace_seconds: float) -> Stopped:
        """Send SIGTERM, and SIGKILL when the time is over, as the kubelet does."""
        started_at = time.monotonic()
        os.kill(self._pid(), signal.SIGTERM)
        try:
            exit_code = self._process.wait(grace_seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            exit_code = self._process.returncode
        return Stopped(exit_code, time.monotonic() - started_at)

    def kill(self) -> None:
        """End it at once, if it has not ended."""
        if self._process.poll() is None:
            subprocess.run([*self._runtime, "delete", "--force", self.name], capture_output=True, check=False)
            self._process.kill()
            self._process.wait()

    def _pid(self) -> int:
        self.require_running()
        state = subprocess.run([*self._runtime, "state", self.name], capture_output=True, check=True)
        return json.loads(state.stdout)["pid"]


def _fields(status: Path) -> dict[str, str]:
    lines = (line.partition(":") for line in status.read_text().splitlines())
    return {key: value.strip() for key, _, value in lines}
