"""`paceline chat` as a process: piped lines and JSON against the contract, and on a real terminal."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc.aio
import pytest

from paceline.cli.dialogue.transcript_file import load
from paceline.errors import ConfigError, PacelineError
from paceline.local.redis_server import RedisServer
from paceline.serving.status import abort
from paceline.v1 import orchestrator_service_pb2 as pb
from tests.orchestrator.rig import draft, orchestrating, target
from tests.paceline.cli.command import PROGRAM, Ended, environment, run, start
from tests.paceline.cli.terminal import ALT_ENTER, CTRL_C, CTRL_D, CTRL_J, ENTER, PROMPT, UP, on_a_terminal
from tests.paceline.client.servicer_fake import FakeOrchestrator, quicksort_events, serving

ANSWER = "int main()"


class Sessions(FakeOrchestrator):
    """Gives every call that begins or forks a session a new name, and a token to each point."""

    num_sessions = 0

    async def Generate(  # noqa: N802, the contract's name
        self, request: pb.GenerateRequest, context: grpc.aio.ServicerContext
    ) -> AsyncIterator[pb.GenerateResponse]:
        token, mode = request.continuation.rollback_token, request.continuation.mode
        session_id = token.partition(":")[0]
        if mode != pb.CONTINUATION_MODE_REWIND:
            self.num_sessions += 1
            session_id = f"s{self.num_sessions}"
        self.events = quicksort_events()
        for event, place in zip(self.events, (0, 2, 3, 3), strict=True):
            getattr(event, event.WhichOneof("event") or "").rollback_token = f"{session_id}:{place}"
        self.events[0].started.session_id = session_id
        async for event in super().Generate(request, context):
            yield event

    @property
    def asked(self) -> list[tuple[str, str]]:
        """How each call went on: mode and token, both empty where it began anew."""
        return [
            (pb.ContinuationMode.Name(mode).removeprefix("CONTINUATION_MODE_").lower() if mode else "", token)
            for mode, token in (
                (one.continuation.mode, one.continuation.rollback_token) for one in self.requests
            )
        ]

    def said(self, number: int) -> list[str]:
        return [turn.content for turn in self.requests[number].chat.messages]


class Forgetful(Sessions):
    """Knows no session any more when it is asked to go on."""

    async def Generate(  # noqa: N802, the contract's name
        self, request: pb.GenerateRequest, context: grpc.aio.ServicerContext
    ) -> AsyncIterator[pb.GenerateResponse]:
        if request.HasField("continuation"):
            error = PacelineError("the session has expired")
            error.reason = "SESSION_NOT_FOUND"  # pyright: ignore[reportAttributeAccessIssue]
            await abort(context, error)
        async for event in super().Generate(request, context):
            yield event


async def chat(tmp_path: Path, lines: list[str], *arguments: str, fake: FakeOrchestrator) -> Ended:
    async with serving(fake) as address:
        stdin = "".join(f"{line}\n" for line in lines).encode()
        return await run(tmp_path, "chat", *arguments, "--address", address, stdin=stdin)


class TestPipe:
    async def test_each_line_is_a_turn_and_costs_its_own_tokens(self, tmp_path: Path) -> None:
        fake = Sessions()
        ended = await chat(
            tmp_path,
            ["hello", "two \\", "lines", "", "//x"],
            "--system",
            "Be brief.",
            "--no-stats",
            fake=fake,
        )
        assert (ended.exit_code, ended.stdout, ended.stderr) == (0, f"{ANSWER}\n" * 3, "")
        assert fake.asked == [("", ""), ("rewind", "s1:3"), ("rewind", "s1:3")]
        assert fake.said(2) == ["Be brief.", "hello", ANSWER, "two \nlines", ANSWER, "/x"]

    async def test_commands_go_back_fork_and_try_again(self, tmp_path: Path) -> None:
        fake = Sessions()
        lines = [
            "a", "b", "/rewind", "c", "/fork 1", "d", "e", "/branch 1", "f", "/retry", "/more 7",
            "/system S", "/rewind 9", "/nonsense", "g", "/branch", "/stats", "/history", "/help", "/quit", "never",
        ]  # fmt: skip
        async with (
            serving(fake) as address,
            on_a_terminal(
                (*PROGRAM, "chat", "--address", address, "--temperature", "1", "--max-tokens", "5"),
                environment(tmp_path, PACELINE_CHAT_HISTORY=str(tmp_path / "history")),
            ) as terminal,
        ):
            for line in lines[:-1]:
                await terminal.expect(PROMPT)
                terminal.type(line + ENTER)
            assert await terminal.exit_code() == 0
        assert fake.asked == [
            ("", ""),  # a
            ("rewind", "s1:3"),  # b
            ("rewind", "s1:3"),  # c, after the answer to a
            ("fork", "s1:3"),  # d, in a session of its own
            ("rewind", "s2:3"),  # e
            ("rewind", "s1:3"),  # f, in the first branch again
            ("rewind", "s1:0"),  # /retry, from the beginning of the answer
            ("rewind", "s1:3"),  # /more
            ("rewind", "s1:3"),  # g
        ]
        assert fake.said(3) == ["a", ANSWER, "d"]
        assert fake.said(5) == ["a", ANSWER, "c", ANSWER, "f"]
        assert fake.said(8) == ["S", "a", ANSWER, "c", ANSWER, "f", ANSWER * 2, "g"]
        first, another, more = (request.sampling.seed for request in fake.requests[5:8])
        assert first != another == more
        assert [request.max_tokens for request in fake.requests[5:8]] == [5, 5, 7]
        for shown in (
            "there are 3 turns",
            "there is no command /nonsense",
            "* 1: 4 turns",
            "1 of 2 draft tokens",
            "leave, as Ctrl-D does",
        ):
            assert shown in terminal.shown, shown

    async def test_the_answer_at_temperature_0_is_not_tried_again_for_nothing(self, tmp_path: Path) -> None:
        ended = await chat(tmp_path, ["a", "/retry"], fake=Sessions())
        assert ended.exit_code == 2
        assert "/retry 0.7" in ended.stderr

    async def test_a_conversation_is_saved_and_gone_on_with(self, tmp_path: Path) -> None:
        saved, fake = tmp_path / "talk.json", Sessions()
        first = await chat(
            tmp_path, ["/system S", "a", f"/save {saved}", f"/load {saved}", "b", "/branch"], fake=fake
        )
        assert first.exit_code == 0, first.stderr
        assert saved.stat().st_mode & 0o777 == 0o600
        assert "* 2: 2 turns" in first.stderr
        second = await chat(tmp_path, ["c"], "--load", str(saved), fake=fake)
        assert second.exit_code == 0, second.stderr
        # The session stays as it is for the branch that was saved, and for whoever else has the file.
        assert fake.asked == [("", ""), ("fork", "s1:3"), ("fork", "s1:3")]
        assert fake.said(1) == ["S", "a", ANSWER, "b"]
        assert fake.said(2) == ["S", "a", ANSWER, "c"]
        with pytest.raises(ConfigError, match="no conversation"):
            load(Path(__file__))

    async def test_a_session_that_is_lost_is_begun_again_with_the_whole_conversation(
        self, tmp_path: Path
    ) -> None:
        fake = Forgetful()
        ended = await chat(tmp_path, ["a", "b", "/retry 1"], fake=fake)
        assert ended.exit_code == 0, ended.stderr
        assert ended.stderr.count("the whole conversation is sent again") == 2
        assert ended.stdout == f"{ANSWER}\n" * 3
        assert fake.said(1) == fake.said(2) == ["a", ANSWER, "b"]

    async def test_json_is_one_event_a_line(self, tmp_path: Path) -> None:
        ended = await chat(tmp_path, ["a", "/rewind", "/stats", "/system"], "--json", fake=Sessions())
        events: list[dict[str, Any]] = [json.loads(line) for line in ended.stdout.splitlines()]
        assert [event["event"] for event in events] == [
            "connected", "started", "chunk", "chunk", "summary", "answer", "rewound", "stats", "system",
        ]  # fmt: skip
        assert events[5]["text"] == ANSWER
        assert (events[6]["num_turns"], events[7]["turns"]) == (0, [])
        assert ended.stderr == ""

    async def test_a_failure_ends_it_with_its_sentence(self, tmp_path: Path) -> None:
        ended = await run(tmp_path, "chat", "--address", "127.0.0.1:1", stdin=b"a\n")
        assert (ended.exit_code, "nobody answers at 127.0.0.1:1" in ended.stderr) == (1, True)

    async def test_ctrl_c_ends_it_while_it_waits_for_a_line(self, tmp_path: Path) -> None:
        async with serving(Sessions()) as address:
            process = await start(tmp_path, "chat", "--address", address)
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(b"hello\n")
            assert await process.stdout.readline() == f"{ANSWER}\n".encode()
            await asyncio.sleep(0.3)
            process.send_signal(signal.SIGINT)
            _, stderr = await process.communicate()
        assert process.returncode == 130
        assert b"Traceback" not in stderr

    async def test_ctrl_c_ends_it_while_an_answer_comes(self, tmp_path: Path) -> None:
        fake = Sessions(is_endless=True)
        async with serving(fake) as address:
            process = await start(tmp_path, "chat", "--json", "--address", address)
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(b"hello\nnever\n")
            process.stdin.write_eof()
            while json.loads(await process.stdout.readline())["event"] != "chunk":
                pass
            process.send_signal(signal.SIGINT)
            _, stderr = await process.communicate()
        assert process.returncode == 130
        assert b"Traceback" not in stderr
        assert len(fake.requests) == 1

    async def test_more_of_an_answer_limits_no_later_one(self, tmp_path: Path) -> None:
        fake = Sessions()
        lines = ["a", "/more 7", "b", "/fork", "/more 4", "c"]
        for arguments, limit in ((("--max-tokens", "60"), 60), ((), None)):
            fake.requests.clear()
            ended = await chat(tmp_path, lines, *arguments, fake=fake)
            assert ended.exit_code == 0, ended.stderr
            limits = [one.max_tokens if one.HasField("max_tokens") else None for one in fake.requests]
            assert limits == [limit, 7, limit, 4, limit]

    async def test_each_branch_has_its_own_system_message(self, tmp_path: Path) -> None:
        fake = Sessions()
        lines = ["/system one", "a", "/fork", "/system two", "b", "/branch 1", "c"]
        ended = await chat(tmp_path, lines, fake=fake)
        assert ended.exit_code == 0, ended.stderr
        assert [fake.said(number)[0] for number in range(3)] == ["one", "two", "one"]

    async def test_a_saved_conversation_is_a_file_of_its_own_that_nobody_else_reads(
        self, tmp_path: Path
    ) -> None:
        saved, elsewhere = tmp_path / "talk.json", tmp_path / "elsewhere"
        elsewhere.write_text("kept")
        (tmp_path / "talk.json.part").symlink_to(elsewhere)
        ended = await chat(tmp_path, ["/system ｓ日", f"/save {saved}"], fake=Sessions())
        assert ended.exit_code == 0, ended.stderr
        assert elsewhere.read_text() == "kept"
        assert saved.stat().st_mode & 0o777 == 0o600
        assert load(saved).system == "ｓ日"


class TestTerminal:
    async def test_what_is_shown_again_cannot_steer_the_terminal(self, tmp_path: Path) -> None:
        async with (
            serving(Sessions()) as address,
            on_a_terminal(
                (*PROGRAM, "chat", "--address", address, "--no-history", "--system", "a\x1b]0;b\x9bc"),
                environment(tmp_path),
            ) as terminal,
        ):
            await terminal.expect(PROMPT)
            terminal.type("/history" + ENTER)
            await terminal.expect("system: a␛]0;b\ufffdc")
            await terminal.expect(PROMPT)
            terminal.type(CTRL_D)
            assert await terminal.exit_code() == 0

    async def test_tokens_are_coloured_and_what_was_typed_comes_back_in_the_next_run(
        self, tmp_path: Path
    ) -> None:
        fake, history = Sessions(), tmp_path / "state" / "history"
        variables = environment(tmp_path, NO_COLOR="", PACELINE_CHAT_HISTORY=str(history))
        async with serving(fake) as address:
            for line in ("hello", UP):
                async with on_a_terminal((*PROGRAM, "chat", "--address", address), variables) as terminal:
                    await terminal.expect("/help")
                    await terminal.expect(PROMPT)
                    terminal.type(line)
                    await terminal.expect("hello")
                    terminal.type(ENTER)
                    await terminal.expect("\x1b[32mint \x1b[0mmain")
                    await terminal.expect("1 of 2 draft tokens accepted (50%); prompt 5 tokens, 0 cached")
                    await terminal.expect(PROMPT)
                    terminal.type(CTRL_D)
                    assert await terminal.exit_code() == 0
        assert [fake.said(number) for number in range(2)] == [["hello"]] * 2
        assert history.stat().st_mode & 0o777 == 0o600

    async def test_a_message_may_have_several_lines(self, tmp_path: Path) -> None:
        fake = Sessions()
        async with (
            serving(fake) as address,
            on_a_terminal(
                (*PROGRAM, "chat", "--address", address, "--no-history"), environment(tmp_path)
            ) as terminal,
        ):
            await terminal.expect(PROMPT)
            terminal.type(f"one{ALT_ENTER}two{CTRL_J}three\\{ENTER}日本語{ENTER}")
            await terminal.expect("draft tokens")
            await terminal.expect(PROMPT)
            terminal.type("\x1b[200~pasted\nlines\x1b[201~")  # bracketed paste
            await terminal.expect("lines")
            terminal.type(ENTER)
            await terminal.expect("draft tokens")
            await terminal.expect(PROMPT)
            terminal.type("thrown away" + CTRL_C)
            await terminal.expect("Ctrl-D leaves")
            await terminal.expect(PROMPT)
            terminal.type(CTRL_D)
            assert await terminal.exit_code() == 0
        assert fake.said(0) == ["one\ntwo\nthree\n日本語"]
        assert fake.said(1)[-1] == "pasted\nlines"
        assert len(fake.requests) == 2

    async def test_ctrl_c_stops_the_answer_and_keeps_what_came(self, tmp_path: Path) -> None:
        fake = Sessions(is_endless=True)
        async with (
            serving(fake) as address,
            on_a_terminal(
                (*PROGRAM, "chat", "--address", address, "--no-history", "--no-show-drafts"),
                environment(tmp_path),
            ) as terminal,
        ):
            for line in ("hello", "go on"):
                await terminal.expect(PROMPT)
                terminal.type(line + ENTER)
                await terminal.expect("main")
                await terminal.expect("()")
                terminal.type(CTRL_C)
                await terminal.expect("stopped: 3 tokens kept, /more goes on")
                await fake.cancelled.wait()
                fake.cancelled.clear()
            fake.is_endless = False
            await terminal.expect(PROMPT)
            terminal.type("/more" + ENTER)
            await terminal.expect("draft tokens")
            await terminal.expect(PROMPT)
            terminal.type("/history" + ENTER)
            await terminal.expect(f"assistant: {ANSWER}{ANSWER}")
            await terminal.expect(PROMPT)
            terminal.type(CTRL_D)
            assert await terminal.exit_code() == 0
        assert fake.asked == [("", ""), ("rewind", "s1:3"), ("rewind", "s1:3")]
        assert fake.said(1) == ["hello", ANSWER, "go on"]
        assert fake.said(2) == []  # more of the same answer

    async def test_a_failure_is_shown_and_the_conversation_goes_on(self, tmp_path: Path) -> None:
        fake = Sessions()
        async with (
            serving(fake) as address,
            on_a_terminal(
                (*PROGRAM, "chat", "--address", address, "--no-history"), environment(tmp_path)
            ) as terminal,
        ):
            await terminal.expect(PROMPT)
            fake.error = PacelineError("too much")
            fake.error.reason = "PROMPT_TOO_LONG"  # pyright: ignore[reportAttributeAccessIssue]
            terminal.type("hello" + ENTER)
            await terminal.expect("error: too much")
            fake.error = None
            await terminal.expect(PROMPT)
            terminal.type("hello" + ENTER)
            await terminal.expect("draft tokens")
            await terminal.expect(PROMPT)
            terminal.type(CTRL_D)
            assert await terminal.exit_code() == 0


async def test_an_answer_goes_on_when_its_orchestrator_leaves(tmp_path: Path, redis: RedisServer) -> None:
    def slow(number: int):
        one = target(number)
        one.replica.fault = lambda session_id, round_number: asyncio.sleep(0.01)
        return one

    async with (
        orchestrating(redis.url, [slow(0), draft(0)], handover_seconds=0.0) as one,
        orchestrating(redis.url, [slow(1), draft(1)], handover_seconds=0.0) as other,
    ):
        addresses = f"{one.address},{other.address}"
        process = await start(tmp_path, "chat", "--json", "--max-tokens", "120", "--address", addresses)
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"hello\nand now?\n")
        process.stdin.write_eof()
        events: list[dict[str, Any]] = []
        async for line in process.stdout:
            events.append(json.loads(line))
            if sum(event["event"] == "chunk" for event in events) == 8:
                busy = max((one, other), key=lambda rig: rig.target_pool.replicas[0].num_sessions)
                busy.draining.set()
        assert await process.wait() == 0
    assert one.draining.is_set() or other.draining.is_set()
    answers = [event for event in events if event["event"] == "summary"]
    assert [answer["usage"]["num_completion_tokens"] for answer in answers] == [120, 120]
    assert {event["session_id"] for event in events if event["event"] == "started"} == {
        events[1]["session_id"]
    }
