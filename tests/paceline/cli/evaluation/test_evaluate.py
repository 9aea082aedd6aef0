"""`paceline evaluate` as users run it."""

import asyncio
import json
import signal
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from paceline.cli.evaluation.section import Section
from paceline.cli.main import app
from tests.end_to_end.cluster_process import processes_that_mention
from tests.paceline.cli.command import Ended, run, start
from tests.paceline.cli.evaluation.bad_pair import write_bad_pair

PROMPTS = (
    '[[prompts]]\nname = "sum"\ntext = "Write a Python function that sums a list of numbers."\n',
    '[[prompts]]\nname = "capital"\ntext = "What is the capital of France? Tell me three things about it."\n',
)


def write_prompts(directory: Path, *prompts: str) -> str:
    path = directory / "mine.toml"
    path.write_text("".join(prompts or PROMPTS))
    return str(path)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--quick", "--thorough"], "--quick or --thorough, not both"),
        (["--sections", "beauty"], "one or several of acceptance,speed"),
        (["--prompts", "poetry"], "all, chat, code, japanese, prose, summary"),
        (["--num-draft-tokens", "0"], "as in 2,3,5,8"),
        (["--temperature", "warm"], "as in 0.7,1"),
        (["--target", "big"], "both --target and --draft"),
        (["--pair", "huge"], "reference, tiny"),
        (["--cores", "draft=9999"], "not among the cores"),
        (["--draft-core-hour-price", "1"], "give both --draft-core-hour-price and --target-core-hour-price"),
        (["--resume", "--force"], "--resume or --force, not both"),
        (["--language", "de"], "'en', 'ja'"),
    ],
)
def test_a_mistake_is_explained_before_anything_is_done(
    tmp_path: Path, arguments: list[str], expected: str
) -> None:
    output = tmp_path / "evaluation"
    ended = CliRunner().invoke(app, ["evaluate", "--output", str(output), *arguments], env={"COLUMNS": "200"})
    assert ended.exit_code == 2, ended.output
    assert expected in ended.stderr
    assert "Traceback" not in ended.output
    assert not output.exists()


def test_an_evaluation_that_is_there_is_kept(tmp_path: Path) -> None:
    (tmp_path / "evaluation.json").write_text("{}")
    ended = CliRunner().invoke(app, ["evaluate", "--pair", "tiny", "--output", str(tmp_path)])
    assert ended.exit_code == 2
    assert "--resume goes on with it, --force replaces it" in ended.stderr
    assert (tmp_path / "evaluation.json").read_text() == "{}"


@pytest.mark.timeout(400)
async def test_a_draft_that_does_not_pay_is_told_so_though_the_evaluation_was_interrupted(
    tmp_path: Path,
) -> None:
    target, draft = write_bad_pair(tmp_path / "models")
    output, journal = tmp_path / "evaluation", tmp_path / "evaluation" / "journal.jsonl"
    command = [
        *("evaluate", "--target", str(target), "--draft", str(draft), "--quick"),
        *("--prompts", write_prompts(tmp_path), "--num-draft-tokens", "2", "--temperature", "0"),
        *("--sections", "acceptance,speed,load,cost", "--output", str(output)),
        *("--draft-core-hour-price", "0.1", "--target-core-hour-price", "1", "--currency", "CHF"),
    ]
    stopped = await _stopped_when(journal, 8, tmp_path / "run", command)
    assert stopped.exit_code == 130, stopped.stderr
    assert f"go on with: paceline {' '.join(command)} --resume" in stopped.stderr
    assert "Traceback" not in stopped.stderr
    assert processes_that_mention(str(tmp_path)) == []
    num_finished = _num_lines(journal)

    ended = await run(tmp_path / "run", *command, "--resume", "--json")
    assert ended.exit_code == 0, ended.stderr
    # Two readings; 3 ways of 2 prompts, three times; 3 ways of each prompt alone and of four at once, twice.
    assert f"resumed: {num_finished} of {2 + 18 + 18} pieces" in ended.stderr
    assert _num_lines(journal) == 38
    found = json.loads(ended.stdout)
    assert found == json.loads((output / "evaluation.json").read_text())
    [verdict] = found["verdicts"]
    assert (verdict["draft"], verdict["answer"], verdict["num_draft_tokens"]) == (
        "random",
        "do-not-use",
        None,
    )
    assert verdict["reason"] in {"low-acceptance", "slow-draft"}
    assert verdict["acceptance"] < 0.2
    assert all(cost["price"] > 0 and cost["currency"] == "CHF" for cost in found["costs"])
    assert processes_that_mention(str(tmp_path)) == []


@pytest.mark.slow
@pytest.mark.timeout(400)
async def test_the_tiny_pair_is_evaluated_and_reported(tmp_path: Path) -> None:
    little = ("--sections", "acceptance,speed", "--num-draft-tokens", "3", "--temperature", "0")
    ended = await _evaluate_tiny(tmp_path, write_prompts(tmp_path, PROMPTS[0]), *little)
    found = _check_findings(ended, tmp_path)
    assert {speed["variant"] for speed in found["speed"]} == {"target-only", "K = 3", "adaptive"}
    [foretold] = [speed for speed in found["speed"] if speed["variant"] == "K = 3"]
    assert foretold["predicted_speed_up"] > 0
    assert foretold["tokens_per_round"] > 1
    assert set(foretold["cpu_seconds_per_token"]) == {"draft", "target", "orchestrator"}
    assert [one["sampling"] for one in found["acceptance"]] == ["greedy", "greedy"]
    assert [verdict["draft"] for verdict in found["verdicts"]] == ["smollm2-135m-instruct (draft)"]
    left_out, own_rounds = found["about"]["notes"]
    assert "load, memory, quantisation, cost" in left_out
    assert "a single prompt" in own_rounds


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_all_sections_of_the_tiny_pair_are_filled(tmp_path: Path) -> None:
    ended = await _evaluate_tiny(
        tmp_path, write_prompts(tmp_path), "--sections", ",".join(Section), "--language", "ja"
    )
    found = _check_findings(ended, tmp_path)
    empty = [name for name, value in found.items() if value in ([], {}, None)]
    assert empty == []


async def _evaluate_tiny(directory: Path, prompts: str, *arguments: str) -> Ended:
    flags = ("--pair", "tiny", "--quick", "--prompts", prompts)
    return await run(directory / "run", "evaluate", *flags, "--output", str(directory / "out"), *arguments)


def _check_findings(ended: Ended, directory: Path) -> dict[str, Any]:
    """The reports are there, and every answer was the target's own."""
    assert ended.exit_code == 0, ended.stderr
    found = json.loads((directory / "out" / "evaluation.json").read_text())
    assert all(speed["is_identical"] for speed in (*found["speed"], *found["load"]))
    assert all(speed["tokens_per_second"]["count"] >= 3 for speed in found["speed"])
    for name in ("report.html", "report.ja.html"):
        page = (directory / "out" / name).read_text()
        assert page.lstrip().lower().startswith("<!doctype html>")
        assert "smollm2-135m-instruct" in page
        assert str(directory / "out" / name) in ended.stderr
    assert "smollm2-135m-instruct" in ended.stdout
    return found


async def _stopped_when(journal: Path, num_lines: int, runtime: Path, command: list[str]) -> Ended:
    """Run a command until it has finished so many pieces, then press Ctrl-C."""
    process = await start(runtime, *command)
    reading = asyncio.ensure_future(process.communicate())
    while _num_lines(journal) < num_lines:
        assert not reading.done(), reading.result()
        await asyncio.sleep(0.02)
    process.send_signal(signal.SIGINT)
    stdout, stderr = await reading
    assert process.returncode is not None
    return Ended(process.returncode, stdout.decode(), stderr.decode())


def _num_lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0
