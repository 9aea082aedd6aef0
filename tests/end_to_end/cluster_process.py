"""`paceline up` as a process, and what is left of it."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paceline.local.listen_address import free_ports
from tests.paceline.cli.command import PROGRAM, environment
from tests.process_state import is_there


@dataclass(frozen=True)
class RunningCluster:
    """A cluster that is ready."""

    supervisor: "subprocess.Popen[str]"
    runtime: Path
    description: dict[str, Any]  # what `up --json` printed

    @property
    def address(self) -> str:
        return self.description["address"]

    @property
    def pids(self) -> dict[str, int]:
        """Pid of every process of the cluster by its name."""
        return {process["name"]: process["pid"] for process in self.description["processes"]}


def start_up(runtime: Path, *arguments: str) -> "subprocess.Popen[str]":
    """Start `paceline up` on free ports; what it says goes to RUNTIME/up.log."""
    runtime.mkdir(parents=True, exist_ok=True)
    # Beside each other two would take the same free port for HTTP, if they looked for one at the same time.
    port, http_port = free_ports(2)
    listening = ("--listen", f"127.0.0.1:{port}", "--http-listen", f"127.0.0.1:{http_port}")
    with (runtime / "up.log").open("w") as log:
        return subprocess.Popen(
            [*PROGRAM, "up", *listening, "--json", *arguments],
            env=environment(runtime),
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )


@contextmanager
def running_cluster(runtime: Path, *arguments: str) -> Iterator[RunningCluster]:
    """Run a cluster inside a `with`, and ask it to end with SIGTERM if it has not ended by then."""
    supervisor = start_up(runtime, *arguments)
    assert supervisor.stdout is not None
    with supervisor.stdout as lines:
        line = lines.readline()
        assert line, (runtime / "up.log").read_text()
        try:
            yield RunningCluster(supervisor, runtime, json.loads(line))
        finally:
            if supervisor.poll() is None:
                supervisor.send_signal(signal.SIGTERM)
            supervisor.wait()


def wait_until_gone(pids: list[int]) -> None:
    """Wait for an end that must come; the test's own timeout says if it does not."""
    while any(map(is_there, pids)):
        time.sleep(0.05)


def processes_that_mention(text: str) -> list[str]:
    """Return the command lines of all processes, this one excepted, that have a text in them."""
    found: list[str] = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if text in command:
                found.append(command)
    return found
