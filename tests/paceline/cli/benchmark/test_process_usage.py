"""What processes have used."""

import os
import subprocess
import sys

from paceline.cli.benchmark.process_usage import ProcessUsage, cpu_seconds_between, usage_of

BURN = "import time\nwhile time.process_time() < 0.3: pass\nblock = bytearray(64 << 20)\nprint(flush=True)\ninput()"


def test_a_process_that_computed_and_held_memory_is_charged_for_both() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", BURN], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        usage = usage_of({"burner": child.pid})["burner"]
        child.communicate(b"\n")
    assert usage.cpu_seconds >= 0.25
    assert usage.peak_memory_bytes >= usage.resident_memory_bytes >= 64 << 20


def test_a_process_that_has_ended_is_left_out() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        child.wait()
    assert set(usage_of({"ended": child.pid, "here": os.getpid()})) == {"here"}


def test_what_is_used_in_between_counts_for_processes_of_both_readings() -> None:
    before = {"a": ProcessUsage(1.0, 1, 1), "b": ProcessUsage(2.0, 1, 1)}
    after = {"a": ProcessUsage(1.5, 1, 1), "b": ProcessUsage(4.0, 1, 1), "new": ProcessUsage(9.0, 1, 1)}
    assert cpu_seconds_between(before, after) == 2.5
