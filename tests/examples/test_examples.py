"""Every example runs as it stands, against an orchestrator with its gateway and scripted replicas."""

import asyncio
import os
import shutil
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest
import pytest_asyncio

from paceline.local.redis_server import redis_server
from tests.orchestrator.gateway.gateway_rig import HttpRig, serving_http
from tests.orchestrator.rig import draft, target

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
MODULES = {"openai_chat.py": "openai", "langchain_chat.py": "langchain_openai"}
PROGRAMS = {"buf_curl.sh": "buf", "http_curl.sh": "curl"}


@dataclass(frozen=True)
class Ran:
    exit_code: int
    stdout: str
    stderr: str


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def rig(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[HttpRig]:
    directory = tmp_path_factory.mktemp("redis")
    async with (
        redis_server(directory, directory / "redis.log") as server,
        serving_http(server.url, [target(), draft()]) as running,
    ):
        yield running


async def run(rig: HttpRig, *command: str, **variables: str) -> Ran:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {
        **os.environ,
        "PATH": path,
        "PACELINE_ADDRESS": rig.rig.address,
        "PACELINE_URL": rig.url,
        "PYTHONIOENCODING": "utf-8",
        **variables,
    }
    process = await asyncio.create_subprocess_exec(
        *command, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    stdout, stderr = await process.communicate()
    assert process.returncode is not None
    return Ran(process.returncode, stdout.decode(errors="replace"), stderr.decode(errors="replace"))


def command_of(name: str) -> list[str]:
    """How the example is run; skips where what it needs is not installed."""
    path = str(EXAMPLES / name)
    if name.endswith(".sh"):
        needed = PROGRAMS[name]
        if (
            shutil.which(needed, path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
            is None
        ):
            pytest.skip(f"not installed: {needed}")
        return [path]
    if name in MODULES and find_spec(MODULES[name]) is None:
        pytest.skip(f"not installed: {MODULES[name]}")
    return [sys.executable, path]


def test_the_page_names_every_example() -> None:
    page = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    examples = {path.name for path in EXAMPLES.iterdir() if path.suffix in {".py", ".sh"}}
    assert [name for name in examples if f"[{name}]({name})" not in page] == []
    assert examples == {*SHOWN, "python_grpc.py"}


SHOWN = {
    "python_client.py": ["seed 1", "the next turn:", "both can be gone on with: True"],
    "python_asyncio.py": ["Kyoto: ", "Turin: ", "Quito: "],
    "buf_curl.sh": ["paceline.v1.OrchestratorService/Generate", '"target"', '"numCompletionTokens": 20'],
    "http_curl.sh": ['"object":"list"', '"finish_reason":"length"', "data: [DONE]", '"origin":"accepted"'],
    "openai_chat.py": ["completion_tokens=60", "the session stands at "],
    "langchain_chat.py": [],
}


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("name", sorted(SHOWN))
async def test_an_example_runs_as_it_stands(rig: HttpRig, name: str) -> None:
    ran = await run(rig, *command_of(name))
    assert ran.exit_code == 0, ran
    assert [
        text for text in SHOWN[name] if text not in ran.stdout.replace(": ", ":") and text not in ran.stdout
    ] == [], ran


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("name", sorted(PROGRAMS))
async def test_a_key_goes_with_each_call_and_is_no_argument(rig: HttpRig, name: str, tmp_path: Path) -> None:
    program = tmp_path / PROGRAMS[name]
    program.write_text('#!/bin/sh\necho "$@" >>"$0.arguments"\ncat >>"$0.input"\n')
    program.chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    ran = await run(rig, str(EXAMPLES / name), PACELINE_API_KEY="pl_key", PATH=path)
    assert ran.exit_code == 0, ran
    arguments, sent = (
        (tmp_path / f"{program.name}.{kind}").read_text(encoding="utf-8") for kind in ("arguments", "input")
    )
    assert len(arguments.splitlines()) >= 3
    assert "pl_key" not in arguments
    assert sent.lower().count("authorization: bearer pl_key") == 3


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("name", sorted(PROGRAMS))
async def test_a_shell_example_runs_with_a_key(rig: HttpRig, name: str) -> None:
    ran = await run(rig, *command_of(name), PACELINE_API_KEY="pl_key")
    assert ran.exit_code == 0, ran


@pytest.mark.asyncio(loop_scope="module")
async def test_plain_grpc_needs_the_generated_stubs_and_nothing_else_of_ours(
    rig: HttpRig, tmp_path: Path
) -> None:
    for package in (tmp_path / "paceline", tmp_path / "paceline/v1"):
        package.mkdir()
        # So that this package is found, and not the one that is installed.
        (package / "__init__.py").write_text("print(__name__, 'of the stubs')\n")
    protos = [f"paceline/v1/{name}.proto" for name in ("model", "sampling", "orchestrator_service")]
    generated = await run(
        rig,
        sys.executable, "-m", "grpc_tools.protoc", "-I", str(ROOT / "protos"), f"--python_out={tmp_path}",
        f"--grpc_python_out={tmp_path}", *(str(ROOT / "protos" / name) for name in protos),
    )  # fmt: skip
    assert generated.exit_code == 0, generated
    ran = await run(rig, sys.executable, str(EXAMPLES / "python_grpc.py"), PYTHONPATH=str(tmp_path))
    assert ran.exit_code == 0, ran
    assert "60 tokens, " in ran.stdout
    assert "paceline.v1 of the stubs" in ran.stdout
