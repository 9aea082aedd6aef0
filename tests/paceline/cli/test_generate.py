"""`paceline generate` as a process, against the contract over a real socket."""

import json
import signal
from pathlib import Path

import pytest

from paceline.errors import InvalidRequestError
from paceline.v1 import orchestrator_service_pb2 as pb
from tests.paceline.cli.command import PROGRAM, Ended, environment, run, start
from tests.paceline.cli.terminal import on_a_terminal
from tests.paceline.client.servicer_fake import FakeOrchestrator, serving


async def generate(
    tmp_path: Path, *arguments: str, fake: FakeOrchestrator | None = None, stdin: bytes = b"", **more: str
) -> Ended:
    async with serving(fake or FakeOrchestrator()) as address:
        return await run(tmp_path, "generate", *arguments, "--address", address, stdin=stdin, **more)


class TestOutput:
    async def test_the_text_goes_to_stdout_and_the_statistics_to_stderr(self, tmp_path: Path) -> None:
        ended = await generate(tmp_path, "hello")
        assert (ended.exit_code, ended.stdout) == (0, "int main()\n")
        assert "3 tokens in 0.7 s, 10.0 tok/s after a first token at 0.50 s" in ended.stderr
        assert "2 rounds, 1 of 2 draft tokens accepted (50%)" in ended.stderr

    async def test_statistics_can_be_left_out(self, tmp_path: Path) -> None:
        ended = await generate(tmp_path, "hello", "--no-stats")
        assert (ended.exit_code, ended.stdout, ended.stderr) == (0, "int main()\n", "")

    async def test_drafts_are_not_marked_where_nobody_looks_unless_brackets_are_asked_for(
        self, tmp_path: Path
    ) -> None:
        plain = await generate(tmp_path, "hello", "--show-drafts")
        assert plain.stdout == "int main()\n"
        marked = await generate(tmp_path, "hello", "--show-drafts", "--brackets")
        assert marked.stdout == "⟦int ⟧main()\n"
        assert "the draft's, accepted" in marked.stderr

    async def test_json_is_one_event_a_line(self, tmp_path: Path) -> None:
        ended = await generate(tmp_path, "hello", "--json")
        events = [json.loads(line) for line in ended.stdout.splitlines()]
        assert [event["event"] for event in events] == ["started", "chunk", "chunk", "summary"]
        assert [token["id"] for event in events[1:3] for token in event["tokens"]] == [1, 2, 3]
        assert events[1]["tokens"][0]["origin"] == "accepted"
        assert events[3]["speculation"]["num_accepted_tokens"] == 1
        assert ended.stderr == ""


class TestTerminal:
    """With a terminal on both sides, as a user has it."""

    @staticmethod
    async def on_a_terminal(tmp_path: Path, *arguments: str, **more: str) -> str:
        async with serving(FakeOrchestrator()) as address:
            command = (*PROGRAM, "generate", "hello", *arguments, "--address", address)
            async with on_a_terminal(command, environment(tmp_path, **more)) as terminal:
                return await terminal.everything()

    async def test_accepted_draft_tokens_are_green(self, tmp_path: Path) -> None:
        shown = await self.on_a_terminal(tmp_path, "--show-drafts", NO_COLOR="")
        assert "\x1b[32mint \x1b[0mmain" in shown

    async def test_no_color_is_respected(self, tmp_path: Path) -> None:
        shown = await self.on_a_terminal(tmp_path, "--show-drafts", "--no-stats", NO_COLOR="1")
        assert "int main" in shown
        assert "\x1b[32m" not in shown

    async def test_the_scrolling_region_is_given_back(self, tmp_path: Path) -> None:
        shown = await self.on_a_terminal(tmp_path)
        assert "tok/s" in shown
        assert shown.rindex("\x1b[r") > shown.rindex("r\x1b8") > 0


class TestRequest:
    async def test_a_prompt_is_a_chat_unless_raw(self, tmp_path: Path) -> None:
        fake = FakeOrchestrator()
        await generate(tmp_path, "hello", "--system", "Be brief.", fake=fake)
        await generate(tmp_path, "hello", "--raw", fake=fake)
        assert [(turn.role, turn.content) for turn in fake.requests[0].chat.messages] == [
            ("system", "Be brief."),
            ("user", "hello"),
        ]
        assert fake.requests[1].prompt == "hello"

    async def test_the_prompt_comes_from_stdin_or_a_file(self, tmp_path: Path) -> None:
        fake = FakeOrchestrator()
        (tmp_path / "prompt.txt").write_text("数える\n", encoding="utf-8")
        await generate(tmp_path, "-", "--raw", fake=fake, stdin="こんにちは".encode())
        await generate(tmp_path, "--file", str(tmp_path / "prompt.txt"), "--raw", fake=fake)
        assert [request.prompt for request in fake.requests] == ["こんにちは", "数える\n"]

    async def test_speculation_and_limits_are_passed_on(self, tmp_path: Path) -> None:
        fake = FakeOrchestrator()
        await generate(tmp_path, "a", "--no-speculation", "--max-tokens", "7", "--ignore-eos", fake=fake)
        await generate(tmp_path, "a", "--num-draft-tokens", "3", fake=fake)
        assert fake.requests[0].speculation.mode == pb.SPECULATION_MODE_OFF
        assert (fake.requests[0].max_tokens, fake.requests[0].ignore_eos) == (7, True)
        assert fake.requests[1].speculation.mode == pb.SPECULATION_MODE_FIXED
        assert fake.requests[1].speculation.num_draft_tokens == 3


class TestMistakes:
    """One or two sentences that say what to do, exit code 1 or 2, no traceback."""

    @pytest.mark.parametrize(
        ("arguments", "advice"),
        [
            ([], "--file"),
            (["a", "--file", "b"], "--file"),
            (["--file", "not-there"], "cannot be read"),
            (["a", "--raw", "--system", "b"], "--raw"),
            (["a", "--no-speculation", "--num-draft-tokens", "3"], "--no-speculation"),
            (["a", "--max-tokens", "0"], "--max-tokens"),
            (["a", "--max-tokens", "many"], "--max-tokens"),
        ],
    )
    async def test_a_wrong_command_line_is_explained(
        self, tmp_path: Path, arguments: list[str], advice: str
    ) -> None:
        ended = await run(tmp_path, "generate", *arguments)
        assert ended.exit_code == 2
        assert advice in ended.stderr
        assert "Traceback" not in ended.stderr

    async def test_bytes_that_are_not_utf8_are_refused(self, tmp_path: Path) -> None:
        ended = await generate(tmp_path, "-", stdin=b"abc\xff")
        assert ended.exit_code == 2
        assert "not UTF-8 at byte 3" in ended.stderr

    async def test_with_nothing_running_it_says_how_to_start_something(self, tmp_path: Path) -> None:
        ended = await run(tmp_path, "generate", "hello")
        assert ended.exit_code == 1
        assert "paceline up" in ended.stderr
        assert "Traceback" not in ended.stderr

    async def test_with_nobody_at_the_address_it_says_so(self, tmp_path: Path) -> None:
        ended = await run(tmp_path, "generate", "hello", "--address", "127.0.0.1:1")
        assert ended.exit_code == 1
        assert "nobody answers at 127.0.0.1:1" in ended.stderr
        assert "Traceback" not in ended.stderr

    async def test_a_refusal_of_the_orchestrator_is_its_sentence(self, tmp_path: Path) -> None:
        fake = FakeOrchestrator(error=InvalidRequestError("max_tokens is 9999; send at most 4096"))
        ended = await generate(tmp_path, "hello", "--max-tokens", "9999", fake=fake)
        assert ended.exit_code == 1
        assert "send at most 4096 (INVALID_REQUEST)" in ended.stderr

    async def test_debug_shows_the_traceback(self, tmp_path: Path) -> None:
        ended = await run(tmp_path, "--debug", "generate", "hello")
        assert ended.exit_code != 0
        assert "Traceback" in ended.stderr


async def test_ctrl_c_cancels_the_call_and_exits_with_130(tmp_path: Path) -> None:
    fake = FakeOrchestrator(is_endless=True)
    async with serving(fake) as address:
        process = await start(tmp_path, "generate", "hello", "--address", address)
        assert process.stdout is not None
        assert await process.stdout.readexactly(len("int main()")) == b"int main()"
        process.send_signal(signal.SIGINT)
        _, stderr = await process.communicate()
        await fake.cancelled.wait()
    assert process.returncode == 130
    assert b"Traceback" not in stderr
