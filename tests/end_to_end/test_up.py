"""`paceline up`: three real programs and Redis, from start to end."""

import json
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.end_to_end.cluster_process import (
    RunningCluster,
    processes_that_mention,
    running_cluster,
    start_up,
    wait_until_gone,
)
from tests.paceline.cli.command import PROGRAM, Ended, environment, run
from tests.process_state import is_there

PARTS = {"redis", "target-0", "draft-0", "orchestrator"}
PROMPT = "Name three colours."


async def generate(cluster: RunningCluster, *arguments: str) -> Ended:
    # Without --address: the record that `up` left says where it is.
    return await run(cluster.runtime, "generate", PROMPT, "--max-tokens", "16", *arguments)


def token_ids(ended: Ended) -> list[int]:
    assert ended.exit_code == 0, ended.stderr
    events = [json.loads(line) for line in ended.stdout.splitlines()]
    return [token["id"] for event in events if event["event"] == "chunk" for token in event["tokens"]]


class TestUse:
    async def test_text_comes_from_the_cluster_that_runs(self, tiny_cluster: RunningCluster) -> None:
        ended = await generate(tiny_cluster)
        assert ended.exit_code == 0, ended.stderr
        assert ended.stdout.strip()
        assert "tokens in" in ended.stderr

    async def test_speculation_changes_no_token(self, tiny_cluster: RunningCluster) -> None:
        drafted = await generate(tiny_cluster, "--json", "--num-draft-tokens", "4")
        alone = await generate(tiny_cluster, "--json", "--no-speculation")
        assert token_ids(drafted) == token_ids(alone) != []
        summary = json.loads(drafted.stdout.splitlines()[-1])
        assert summary["speculation"]["num_draft_tokens"] > 0

    async def test_chunks_are_the_text_and_positions_follow_each_other(
        self, tiny_cluster: RunningCluster
    ) -> None:
        ended = await generate(tiny_cluster, "--json")
        started, *chunks, summary = [json.loads(line) for line in ended.stdout.splitlines()]
        position = started["num_prompt_tokens"]
        for chunk in chunks:
            assert chunk["position"] == position
            assert chunk["text"] == "".join(token["text"] for token in chunk["tokens"])
            position += len(chunk["tokens"])
        assert position - started["num_prompt_tokens"] == summary["usage"]["num_completion_tokens"]

    def test_the_description_names_every_process(self, tiny_cluster: RunningCluster) -> None:
        assert set(tiny_cluster.pids) == PARTS
        assert all(is_there(pid) for pid in tiny_cluster.pids.values())


class TestEnd:
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_a_signal_ends_every_process_with_code_0_and_leaves_nothing(
        self, tmp_path: Path, number: signal.Signals
    ) -> None:
        with running_cluster(tmp_path, "--pair", "tiny") as cluster:
            cluster.supervisor.send_signal(number)
            assert cluster.supervisor.wait() == 0, (tmp_path / "up.log").read_text()
        said = (tmp_path / "up.log").read_text()
        ends = [line for line in said.splitlines() if "ended with code" in line]
        assert len(ends) == len(PARTS)
        assert all(line.endswith("ended with code 0") for line in ends)
        assert not any(map(is_there, cluster.pids.values()))
        assert processes_that_mention(cluster.address) == []
        assert not Path(cluster.description["directory"]).exists()

    def test_killing_the_supervisor_leaves_no_process(self, tmp_path: Path) -> None:
        with running_cluster(tmp_path, "--pair", "tiny") as cluster:
            cluster.supervisor.kill()
            cluster.supervisor.wait()
            wait_until_gone(list(cluster.pids.values()))
        assert processes_that_mention(cluster.address) == []

    def test_ctrl_c_during_start_up_leaves_no_process(self, tmp_path: Path) -> None:
        supervisor = start_up(tmp_path, "--pair", "tiny")
        children = tmp_path.glob("*/target-0.log")
        while not list(children) and supervisor.poll() is None:
            time.sleep(0.01)
            children = tmp_path.glob("*/target-0.log")
        supervisor.send_signal(signal.SIGINT)
        stdout, _ = supervisor.communicate()
        assert (supervisor.returncode, stdout) == (130, "")
        assert processes_that_mention(str(tmp_path)) == []
        assert list(tmp_path.glob("*/cluster.json")) == []


class TestMistakes:
    async def test_an_address_that_is_taken_is_refused(self, tiny_cluster: RunningCluster) -> None:
        ended = await run(tiny_cluster.runtime, "up", "--pair", "tiny", "--listen", tiny_cluster.address)
        assert ended.exit_code == 1
        assert "is taken" in ended.stderr
        assert "--listen" in ended.stderr

    @pytest.mark.parametrize(
        ("arguments", "advice"),
        [
            (["--pair", "huge"], "reference, tiny"),
            (["--cores", "gpu=1"], "draft=0"),
            (["--cores", "draft=9999"], "not among the cores"),
            (["--target", "smollm2-135m-instruct"], "--draft"),
            (["--pair", "tiny", "--listen", "7000"], "HOST:PORT"),
            (["--pair", "tiny", "--listen", "192.0.2.1:7000"], "cannot listen there"),
            (["--target-replicas", "0"], "--target-replicas"),
            (["--num-draft-tokens", "0"], "--num-draft-tokens"),
        ],
    )
    async def test_a_wrong_command_line_is_explained(
        self, tmp_path: Path, arguments: list[str], advice: str
    ) -> None:
        ended = await run(tmp_path, "up", *arguments)
        assert ended.exit_code == 2
        assert advice in ended.stderr
        assert "Traceback" not in ended.stderr


def test_a_reader_that_goes_away_ends_generate_quietly(tiny_cluster: RunningCluster) -> None:
    """As with `paceline generate ... | head -c 1`."""
    with subprocess.Popen(
        [*PROGRAM, "generate", PROMPT, "--max-tokens", "64", "--ignore-eos"],
        env=environment(tiny_cluster.runtime),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(1)
        process.stdout.close()
        said = process.stderr.read().decode()
    assert "Traceback" not in said
