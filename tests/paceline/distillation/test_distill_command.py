"""`paceline distill` as users run it."""

import json
import signal
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from paceline.cli import main
from paceline.engine.graph.manifest import Manifest
from paceline.models.tokenizer import Tokenizer
from tests.paceline.cli.command import start
from tests.paceline.distillation.small_target import write_target

SMALL = ("--width", "32", "--layers", "1", "--context", "64", "--labels", "4", "--threads", "1")
BRIEF = ("--prompts", "PROMPTS", "--only-prompts", "--sessions", "8", "--max-tokens", "16")

pytestmark = pytest.mark.reference


@pytest.fixture
def arguments(tmp_path: Path) -> list[str]:
    """The command with a target and prompts of its own."""
    target, prompts = tmp_path / "target", tmp_path / "prompts.txt"
    target.mkdir()
    write_target(target)
    prompts.write_text("\n".join(f"prompt {number}" for number in range(300)))
    brief = (str(prompts) if one == "PROMPTS" else one for one in BRIEF)
    return [
        "distill",
        str(target),
        "--target-weights",
        "f32",
        "--directory",
        str(tmp_path / "run"),
        *SMALL,
        *brief,
    ]


def run_here(*arguments: str) -> Result:
    """Run the command in this process, which has imported torch already."""
    return CliRunner().invoke(main.app, arguments)


def num_trained(directory: Path) -> int:
    """Tokens that the run has been trained on, as its curve has them."""
    lines = (directory / "run" / "curve.jsonl").read_text().splitlines()
    return json.loads(lines[-1])["num_tokens"]


def test_a_draft_comes_out_that_has_the_targets_vocabulary(arguments: list[str], tmp_path: Path) -> None:
    limits = ("--text-tokens", "5000", "--tokens", "4000")
    ended = run_here(*arguments, *limits, "--json")
    assert ended.exit_code == 0, ended.stderr
    made = json.loads(ended.stdout)
    directory = Path(made["directory"])
    manifest = Manifest.read(directory)
    assert (manifest.name, manifest.weights) == ("tiny-draft", made["weights"])
    assert 0 <= made["held_out_agreement"] <= 1
    hashes = {Tokenizer.load(one).vocabulary_hash for one in (tmp_path / "target", directory)}
    assert len(hashes) == 1
    assert Path(made["curve"]) == tmp_path / "run" / "curve.jsonl"
    assert num_trained(tmp_path) >= 4000

    again = run_here(*arguments, *limits)
    assert (again.exit_code, "--resume" in again.stderr) == (2, True)
    wider = [one if one != "32" else "64" for one in arguments]
    other = run_here(*wider, *limits, "--resume")
    assert (other.exit_code, "width 32" in other.stderr) == (2, True)


async def test_ctrl_c_saves_and_the_same_command_goes_on(arguments: list[str], tmp_path: Path) -> None:
    text = run_here(*arguments, "--only", "text", "--text-tokens", "1000")
    assert text.exit_code == 0, text.stderr
    process = await start(tmp_path, *arguments, "--only", "train", "--minutes", "10")
    assert process.stderr is not None
    assert b"student" in await process.stderr.readline()  # training begins
    process.send_signal(signal.SIGINT)
    _, stderr = await process.communicate()
    assert process.returncode == 130, stderr
    assert b"--resume" in stderr
    num_tokens = num_trained(tmp_path)
    resumed = run_here(*arguments, "--only", "train", "--tokens", "1000", "--resume")
    assert resumed.exit_code == 0, resumed.stderr
    assert num_trained(tmp_path) >= num_tokens + 1000


@pytest.mark.parametrize(
    ("more", "exit_code", "what"),
    [
        (["--only", "export"], 1, "no trained student"),
        (["--only", "train"], 1, "no text to train on"),
        (["--temperatures", "0,warm"], 2, "0,0.7,1"),
        (["--weights", "int3"], 2, "int4"),
        (["--only", "export", "--output", "TAKEN"], 2, "something else lies there"),
        (["--width", "33"], 2, "multiple of 32"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(
    arguments: list[str], tmp_path: Path, more: list[str], exit_code: int, what: str
) -> None:
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "mine.txt").touch()
    ended = run_here(*arguments, *(str(taken) if one == "TAKEN" else one for one in more))
    assert ended.exit_code == exit_code, ended.stderr
    assert what in ended.stderr.splitlines()[-1]
