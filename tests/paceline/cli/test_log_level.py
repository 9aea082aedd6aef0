"""`paceline log-level` against a server's own LogService, which every program has."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import grpc.aio
import pytest

from paceline.serving.config import ServiceConfig
from paceline.serving.logs import log_level, set_log_level
from paceline.serving.server import ServiceServer
from tests.paceline.cli.command import run


@pytest.fixture
async def address() -> AsyncIterator[str]:
    before = log_level()
    set_log_level("info")
    async with ServiceServer(ServiceConfig(listen="127.0.0.1:0"), [], asyncio.Event()) as server:
        yield f"127.0.0.1:{server.port}"
    set_log_level(before)


async def test_the_level_is_printed_and_stays(tmp_path: Path, address: str) -> None:
    ended = await run(tmp_path, "log-level", address)
    assert (ended.exit_code, ended.stdout, ended.stderr) == (0, "info\n", "")
    assert log_level() == "info"


@pytest.mark.parametrize("level", ["debug", "warning", "error"])
async def test_the_level_is_set_in_the_running_process(tmp_path: Path, address: str, level: str) -> None:
    ended = await run(tmp_path, "log-level", address, level)
    assert (ended.exit_code, ended.stdout) == (0, f"{level} (it was info)\n")
    assert log_level() == level


async def test_a_level_that_is_none_is_explained(tmp_path: Path, address: str) -> None:
    ended = await run(tmp_path, "log-level", address, "loud")
    assert ended.exit_code == 2
    assert "debug" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert log_level() == "info"


async def test_with_nobody_at_the_address_it_says_so(tmp_path: Path) -> None:
    ended = await run(tmp_path, "log-level", "127.0.0.1:1")
    assert ended.exit_code == 1
    assert "nobody answers at 127.0.0.1:1" in ended.stderr
    assert "Traceback" not in ended.stderr


async def test_another_service_at_the_address_is_told_from_none(tmp_path: Path) -> None:
    server = grpc.aio.server()
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    ended = await run(tmp_path, "log-level", f"127.0.0.1:{port}", "debug")
    await server.stop(None)
    assert ended.exit_code == 1
    assert "it is another service, or an older version" in ended.stderr
