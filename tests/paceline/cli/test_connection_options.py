"""Commands that connect by TLS and with keys, as users run them, and what they are told where that fails."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
import typer.core
import typer.main

from paceline.cli.connection_options import connection_settings
from paceline.cli.monitor.poll import connect_to_orchestrators
from paceline.errors import ConfigError
from paceline.serving.config import ServiceConfig
from paceline.serving.logs import log_level as log_level_here
from paceline.serving.server import ServiceServer
from tests.certificates import Authority, MountedSecret
from tests.paceline.cli.command import Ended, run

NAME, CALLER = "paceline-target", "operator"
OURS, OTHERS = Authority(), Authority()


@pytest.fixture
def secret(tmp_path: Path) -> MountedSecret:
    return MountedSecret(tmp_path / "operator", OURS.issue(CALLER))


class KeyReader(grpc.aio.ServerInterceptor):
    """Notes the authorization of every call."""

    def __init__(self) -> None:
        self.seen: list[str | bytes | None] = []

    async def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
        self.seen.append(dict(handler_call_details.invocation_metadata or ()).get("authorization"))
        return await continuation(handler_call_details)


@asynccontextmanager
async def serving(tmp_path: Path, *guards: KeyReader, **options: Any) -> AsyncIterator[str]:
    """A service with a log level, behind TLS."""
    files = MountedSecret(tmp_path / "service", OURS.issue(NAME)).options
    config = ServiceConfig(listen="127.0.0.1:0", replica_id="service-0", **files, **options)
    async with ServiceServer(config, [], asyncio.Event(), guards=guards) as server:
        yield f"127.0.0.1:{server.port}"


def options_of(secret: MountedSecret) -> dict[str, str]:
    own = secret.files.own
    assert own is not None
    return {
        "--ca-file": str(secret.files.ca),
        "--certificate-file": str(own.certificate),
        "--key-file": str(own.key),
        "--server-name": NAME,
    }


async def log_level(tmp_path: Path, address: str, options: dict[str, str], **environment: str) -> Ended:
    flags = [part for option in options.items() for part in option]
    return await run(tmp_path, "log-level", address, *flags, stdin=b"", **environment)


async def test_options_or_variables_open_a_service_with_tls(tmp_path: Path, secret: MountedSecret) -> None:
    reader, key_file = KeyReader(), tmp_path / "key"
    key_file.write_text("pl_abc\n")
    options = {**options_of(secret), "--api-key-file": str(key_file)}
    variables = {
        f"PACELINE_{option.removeprefix('--').replace('-', '_').upper()}": value
        for option, value in options.items()
    }
    async with serving(tmp_path, reader, tls_peer_names=(CALLER,)) as address:
        for ended in await asyncio.gather(
            log_level(tmp_path, address, options), log_level(tmp_path, address, {}, **variables)
        ):
            assert (ended.exit_code, ended.stdout.strip(), ended.stderr) == (0, log_level_here(), "")
    assert reader.seen == ["Bearer pl_abc"] * 2


async def test_what_fails_is_a_sentence_that_says_what_to_do(tmp_path: Path, secret: MountedSecret) -> None:
    wrong_name = {**options_of(secret), "--server-name": "paceline-draft"}
    async with serving(tmp_path, tls_peer_names=("somebody-else",)) as address:
        commands = (
            log_level(tmp_path, address, wrong_name),
            log_level(tmp_path, address, options_of(secret)),
            run(tmp_path, "sessions", "list", "--address", "192.0.2.1:7000", PACELINE_API_KEY="pl_secret"),
        )
        ended = await asyncio.gather(*commands)
    for one, words in zip(
        ended,
        (
            ["not for paceline-draft", "give that with --server-name"],
            [CALLER, "--tls-peer-names", "PEER_NOT_ALLOWED"],
            ["in plain text", "--ca-file", "--insecure"],
        ),
        strict=True,
    ):
        assert [word for word in words if word not in one.stderr] == [], one.stderr
        assert len(one.stderr.splitlines()) == 1, one.stderr
    assert [one.exit_code for one in ended] == [1, 1, 2]


async def test_top_knows_why_there_is_no_connection(tmp_path: Path) -> None:
    async with serving(tmp_path) as address, connect_to_orchestrators([address], 30.0) as orchestrators:
        (answer,) = (await orchestrators.poll()).answers
    assert answer.problem == f"{address} speaks TLS, and we speak plain text: give --ca-file (TLS_REQUIRED)"


def test_a_key_in_a_file_goes_before_one_in_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key_file = tmp_path / "key"
    key_file.write_text("pl_file\n")
    assert connection_settings().api_key is None
    monkeypatch.setenv("PACELINE_API_KEY", "pl_variable")
    assert connection_settings().api_key == "pl_variable"
    assert connection_settings(api_key_file=key_file).api_key == "pl_file"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"certificate_file": Path("a.crt")}, "give --key-file too"),
        ({"key_file": Path("a.key")}, "give --certificate-file too"),
        ({"server_name": "a"}, "--ca-file"),
        ({"api_key_file": Path("nowhere.key")}, "--api-key-file nowhere.key cannot be read"),
    ],
)
def test_options_that_cannot_be_used_are_explained(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        connection_settings(**options)


@pytest.mark.parametrize("module", ["chat", "generate", "sessions", "top", "log_level"])
def test_every_command_that_connects_has_the_options(module: str) -> None:
    command = typer.main.get_command(import_module(f"paceline.cli.{module}").app)
    commands = command.commands.values() if isinstance(command, typer.core.TyperGroup) else [command]
    wanted = {
        "--ca-file", "--certificate-file", "--key-file", "--server-name", "--api-key-file", "--insecure",
    }  # fmt: skip
    for one in commands:
        assert wanted <= {flag for parameter in one.params for flag in parameter.opts}, one.name
