"""The command line as a whole."""

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from paceline.cli.main import PacelineCommands
from tests.paceline.cli.command import run

COMMANDS = list(PacelineCommands.summaries)


async def test_the_version_is_that_of_the_package(tmp_path: Path) -> None:
    ended = await run(tmp_path, "--version")
    assert (ended.exit_code, ended.stdout) == (0, f"paceline {version('paceline')}\n")


async def test_the_help_names_every_command(tmp_path: Path) -> None:
    ended = await run(tmp_path, "--help")
    assert ended.exit_code == 0
    assert [
        line.split()[0] for line in ended.stdout.partition("Commands:")[2].splitlines() if line
    ] == COMMANDS


@pytest.mark.parametrize("command", COMMANDS)
async def test_every_command_has_a_help_page(tmp_path: Path, command: str) -> None:
    ended = await run(tmp_path, command, "--help")
    assert ended.exit_code == 0
    assert f"paceline {command}" in ended.stdout


def test_the_help_loads_nothing_heavy() -> None:
    code = "import sys; from paceline.cli.main import app; app(['--help'], standalone_mode=False); print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    heavy = {"grpc", "httpx", "numpy", "openvino", "pydantic", "rich", "tokenizers"}
    assert heavy.isdisjoint(loaded)
    assert "typer" in loaded


async def test_an_unknown_command_is_explained(tmp_path: Path) -> None:
    ended = await run(tmp_path, "fly")
    assert ended.exit_code == 2
    assert "No such command 'fly'" in ended.stderr
