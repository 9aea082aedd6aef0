"""The command as a process."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.end_to_end.cluster_process import processes_that_mention

ROOT = Path(__file__).resolve().parents[2]
COMMAND = (sys.executable, "-m", "benchmarks.simulate")
QUICK = (
    "--target-ms",
    "2",
    "--draft-ms",
    "0.5",
    "--max-tokens",
    "16",
    "--seconds",
    "1",
    "--warm-up-seconds",
    "0",
)


def run(*arguments):
    return subprocess.run([*COMMAND, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)


def test_a_sweep_gives_a_json_document_with_every_point_both_ways(tmp_path):
    output = tmp_path / "results" / "simulation.json"
    ran = run(*QUICK, "--sweep", "num-draft-tokens=2,off", "--json", "--output", str(output))
    assert ran.returncode == 0, ran.stderr
    document = json.loads(ran.stdout)
    assert document == json.loads(output.read_text())
    two, off = document["points"]
    assert (two["values"], off["values"]) == ({"num-draft-tokens": "2"}, {"num-draft-tokens": "off"})
    assert two["speed_up"] > 0
    assert (len(two["target_only"]), len(two["speculative"])) == (1, 1)
    assert (off["speed_up"], off["speculative"]) == (None, [])
    assert two["target_only"][0]["tokens_per_round"] == 1


def test_without_json_there_is_a_table_and_what_it_was_measured_on():
    ran = run(*QUICK, "--num-draft-tokens", "2")
    assert ran.returncode == 0, ran.stderr
    assert "benchmarks.simulate --target-ms 2" in ran.stdout
    assert "machine" in ran.stdout
    assert "speed-up" in ran.stdout


def test_a_wrong_option_is_answered_with_a_sentence():
    ran = run("--sweep", "colour=red")
    assert ran.returncode == 2
    assert "--sweep colour: choose one of" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_an_orchestrator_that_cannot_start_is_told_with_its_own_words():
    ran = run("--orchestrator-option", "max-sessions=none")
    assert ran.returncode == 1
    assert "orchestrator-0 ended" in ran.stderr
    assert "--max-sessions" in ran.stderr


def test_ctrl_c_ends_every_process():
    process = subprocess.Popen([*COMMAND, "--seconds", "600"], cwd=ROOT, stderr=subprocess.PIPE, text=True)
    while not children_of(process.pid) >= {"client_process", "replica_process", "orchestrator", "redis"}:
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate()
    assert process.returncode == 130, said
    assert "Traceback" not in said
    assert children_of(process.pid) == set()


def children_of(pid):
    """What the simulation of a pid has running: its directory or its pid is in their arguments."""
    kinds = ("client_process", "replica_process", "-m orchestrator", "redis.sock")
    mentioning = [
        *processes_that_mention(f"paceline-simulate-{pid}-"),
        *processes_that_mention(f"_process {pid}"),
    ]
    found = {kind for kind in kinds for line in mentioning if kind in line}
    return {kind.removeprefix("-m ").removesuffix(".sock") for kind in found}
