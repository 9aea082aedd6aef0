"""`paceline top` as a process, against the contracts over real sockets, without a terminal and on one."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from paceline.local.listen_address import free_ports
from tests.paceline.cli.command import PROGRAM, environment, run, start
from tests.paceline.cli.monitor.orchestrator_fake import FakeOrchestrator, serving
from tests.paceline.cli.terminal import Terminal, on_a_terminal

ENTER_SCREEN, LEAVE_SCREEN, SHOW_CURSOR = "\x1b[?1049h", "\x1b[?1049l", "\x1b[?25h"


@pytest.fixture
async def address() -> AsyncIterator[str]:
    async with serving(FakeOrchestrator("orchestrator-0-1f", "0b" * 16)) as address:
        yield address


class TestOnce:
    async def test_a_frame_is_plain_text_where_there_is_no_terminal(
        self, tmp_path: Path, address: str
    ) -> None:
        ended = await run(tmp_path, "top", "--once", "--interval", "0.2", "--address", address)
        assert (ended.exit_code, ended.stderr) == (0, "")
        assert "\x1b" not in ended.stdout
        assert "big int8 on CPU" in ended.stdout
        assert "target-0           ready" in ended.stdout
        assert "0b" * 16 in ended.stdout
        assert max(map(len, ended.stdout.splitlines())) <= 80

    async def test_columns_are_those_of_the_environment(self, tmp_path: Path, address: str) -> None:
        ended = await run(tmp_path, "top", "--once", "--interval", "0.2", "--address", address, COLUMNS="150")
        assert "node-0-3:7001" in ended.stdout

    async def test_json_is_one_object_with_rates_from_two_looks(self, tmp_path: Path, address: str) -> None:
        ended = await run(tmp_path, "top", "--once", "--json", "--interval", "0.2", "--address", address)
        shown = json.loads(ended.stdout)
        assert shown["orchestrators"][0]["status"]["orchestrator"] == "orchestrator-0-1f"
        assert shown["totals"]["num_tokens_by_origin"] == {"target": 20}
        assert shown["lately"]["tokens_per_second"] == pytest.approx(10 / shown["lately"]["seconds"])
        assert shown["lately"]["acceptance"] is None
        assert shown["targets"][0]["state"] == "ready"
        assert shown["sessions"][0]["session_id"] == "0b" * 16

    async def test_an_orchestrator_that_is_gone_is_named_beside_the_others(
        self, tmp_path: Path, address: str
    ) -> None:
        addresses = f"127.0.0.1:1,{address}"
        ended = await run(tmp_path, "top", "--once", "--interval", "0.2", "--address", addresses)
        assert ended.exit_code == 0
        assert "127.0.0.1:1  nobody answers there" in ended.stdout

    async def test_with_nobody_there_it_says_so_and_fails(self, tmp_path: Path) -> None:
        ended = await run(tmp_path, "top", "--once", "--interval", "0.2", "--address", "127.0.0.1:1")
        assert ended.exit_code == 1
        assert "nobody answers there" in ended.stdout
        assert "Traceback" not in ended.stderr


async def test_json_lines_follow_an_orchestrator_that_goes_and_comes_again(
    tmp_path: Path, free_port: int
) -> None:
    address = f"127.0.0.1:{free_port}"
    process = await start(tmp_path, "top", "--json", "--interval", "0.2", "--address", address)
    assert process.stdout is not None

    async def first_line(*, is_answered: bool) -> Any:
        async for line in process.stdout or ():
            answer = json.loads(line)["orchestrators"][0]
            if (answer["status"] is not None) is is_answered:
                return answer
        raise AssertionError("it has ended")

    async with asyncio.timeout(60):
        assert (await first_line(is_answered=False))["problem"]
        async with serving(FakeOrchestrator(), address):
            await first_line(is_answered=True)
        await first_line(is_answered=False)
        async with serving(FakeOrchestrator(), address):
            await first_line(is_answered=True)
    process.send_signal(signal.SIGINT)
    _, stderr = await process.communicate()
    assert (process.returncode, stderr) == (0, b"")


class TestTerminal:
    """On a terminal of its own, as a user has it."""

    async def test_q_ends_it_and_gives_the_screen_back(self, tmp_path: Path, address: str) -> None:
        async with top(tmp_path, address) as terminal:
            await terminal.expect("target-0")
            terminal.type("xq")
            assert await terminal.exit_code() == 0
        assert terminal.shown.count(ENTER_SCREEN) == terminal.shown.count(LEAVE_SCREEN) == 1
        assert terminal.shown.rindex(SHOW_CURSOR) > terminal.shown.index(ENTER_SCREEN)
        assert "Traceback" not in terminal.shown

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    async def test_signals_end_it_and_give_keyboard_and_screen_back(
        self, tmp_path: Path, address: str, number: signal.Signals
    ) -> None:
        async with top(tmp_path, address) as terminal:
            before = terminal.settings
            await terminal.expect("target-0")
            assert terminal.settings != before
            terminal.process.send_signal(number)
            assert await terminal.exit_code() == 0
            assert terminal.settings == before
        assert terminal.shown.rindex(LEAVE_SCREEN) > terminal.shown.index(ENTER_SCREEN)
        assert "Traceback" not in terminal.shown

    async def test_another_size_is_drawn_at_once(self, tmp_path: Path, address: str) -> None:
        async with top(tmp_path, address, "--interval", "60") as terminal:
            await terminal.expect("target-0")
            assert "node-0-3:7001" not in terminal.shown
            terminal.resize(40, 150)
            await terminal.expect("node-0-3:7001")

    async def test_an_orchestrator_that_is_gone_is_looked_for_on(
        self, tmp_path: Path, free_port: int
    ) -> None:
        address = f"127.0.0.1:{free_port}"
        async with top(tmp_path, address) as terminal:
            await terminal.expect("nobody answers there")
            async with serving(FakeOrchestrator(), address):
                await terminal.expect("target-0")


class TestMistakes:
    @pytest.mark.parametrize(
        ("arguments", "advice"),
        [
            (["--address", " , "], "--address"),
            (["--address", "127.0.0.1:1"], "--once"),
            (["--interval", "0"], "--interval"),
        ],
    )
    async def test_a_wrong_command_line_is_explained(
        self, tmp_path: Path, arguments: list[str], advice: str
    ) -> None:
        ended = await run(tmp_path, "top", *arguments)
        assert ended.exit_code == 2
        assert advice in ended.stderr
        assert "Traceback" not in ended.stderr

    async def test_without_a_cluster_it_says_how_to_start_one(self, tmp_path: Path) -> None:
        ended = await run(tmp_path, "top", "--once")
        assert ended.exit_code == 1
        assert "paceline up" in ended.stderr


@pytest.fixture
def free_port() -> int:
    return free_ports(1)[0]


def top(tmp_path: Path, address: str, *arguments: str) -> AbstractAsyncContextManager[Terminal]:
    """`paceline top` on a terminal of 24 rows and 80 columns."""
    command = (*PROGRAM, "top", "--interval", "0.2", "--address", address, *arguments)
    return on_a_terminal(command, environment(tmp_path, TERM="xterm-256color"), rows=24, columns=80)
