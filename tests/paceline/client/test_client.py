"""The client library against whole orchestrators: answers, what goes on from them, and what breaks meanwhile."""

import asyncio
import contextlib
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from paceline.client import (
    AsyncAnswer,
    AsyncAnswerStream,
    AsyncClient,
    Client,
    ClientClosedError,
    ConfigError,
    HandshakeFailedError,
    NotStartedError,
    RetrySettings,
    UnavailableError,
)
from paceline.local.redis_server import RedisServer
from tests.certificates import Authority, MountedSecret
from tests.orchestrator.rig import Rig, draft, orchestrating, target
from tests.orchestrator.scripted_model import continuation
from tests.paceline.client.servicer_fake import FakeOrchestrator, serving

PROMPT = list(b"hello")
CONVERSATION = list(b"user: hello\n")


@asynccontextmanager
async def rig_and_client(redis: RedisServer) -> AsyncIterator[tuple[Rig, AsyncClient]]:
    async with orchestrating(redis.url, [target(), draft()]) as rig, AsyncClient(rig.address) as client:
        yield rig, client


async def take(stream: AsyncAnswerStream, num_chunks: int) -> AsyncAnswer:
    """The answer of a stream that is left after so many chunks."""
    async with contextlib.aclosing(stream.events()) as events:
        num_seen = 0
        async for event in events:
            num_seen += hasattr(event, "tokens")
            if num_seen == num_chunks:
                break
    return stream.answer


async def test_answers_go_on_in_every_way_and_lose_nothing(redis: RedisServer) -> None:
    async with rig_and_client(redis) as (rig, client):
        assert (await client.models()).target.name == "scripted"

        answer = await client.complete(PROMPT, max_tokens=30)
        assert list(answer.token_ids) == continuation(PROMPT, 30)
        more = await answer.continue_()
        assert list(more.token_ids) == continuation(PROMPT, 60)
        assert more.text.startswith(answer.text)

        for to in (0, 7, 29):
            same = await answer.rewind(to)
            assert (same.token_ids, same.session_id) == (answer.token_ids, answer.session_id)
        longer = await answer.fork(11, max_tokens=50)
        assert list(longer.token_ids) == continuation(PROMPT, 50)
        assert longer.session_id != answer.session_id
        behind = await answer.continue_(" and", max_tokens=5)
        assert list(behind.token_ids) == continuation([*PROMPT, *answer.token_ids, *b" and"], 5)

        resumed = await client.resume(longer.points[0].rollback_token).finish()
        assert resumed.token_ids == longer.token_ids[longer.points[0].num_tokens :]
        assert await rig.stored(longer.session_id) is not None


async def test_turns_stay_in_their_session_unless_it_is_forked(redis: RedisServer) -> None:
    async with rig_and_client(redis) as (rig, client):
        first = await client.chat("hello", max_tokens=12)
        assert list(first.token_ids) == continuation(CONVERSATION, 12)
        # The fork first: random bytes are no text that comes back as it was, so that the other one cuts the session.
        other = await first.reply("again", max_tokens=9, in_new_session=True)
        second = await first.reply("again", max_tokens=9)
        assert second.token_ids == other.token_ids
        assert second.session_id == first.session_id != other.session_id
        assert [message.role for message in second.messages] == ["user", "assistant"] * 2
        assert len((await second.reply("more")).messages) == len((await other.reply("more")).messages) == 6
        assert (await rig.stored(other.session_id)).ids[: len(CONVERSATION)] == tuple(CONVERSATION)


async def test_who_leaves_a_stream_ends_it_and_can_go_on(redis: RedisServer) -> None:
    async with rig_and_client(redis) as (_, client):
        stopped = await take(client.stream("hello", max_tokens=400), 3)
        assert not stopped.is_finished
        assert 3 <= len(stopped.tokens) < 400
        more = await (await stopped.fork(len(stopped.tokens), max_tokens=60)).continue_(max_tokens=40)
        assert list(more.token_ids) == continuation(CONVERSATION, 100)
        reply = await stopped.reply("and now?", max_tokens=5)
        assert reply.session_id == stopped.session_id
        stream = client.stream("hello")
        with pytest.raises(NotStartedError):
            _ = stream.answer


async def test_a_broken_stream_is_resumed_elsewhere_and_nothing_is_missing(redis: RedisServer) -> None:
    def slow(number: int):
        one = target(number)
        one.replica.fault = lambda session_id, round_number: asyncio.sleep(0.01)
        return one

    async with (
        orchestrating(redis.url, [slow(0), draft(0)], handover_seconds=0.0) as one,
        orchestrating(redis.url, [slow(1), draft(1)], handover_seconds=0.0) as other,
        AsyncClient(f"{one.address},{other.address}") as client,
    ):
        stream = client.stream_completion(PROMPT, max_tokens=150)
        ids: list[int] = []
        async for chunk in stream:
            ids += [token.id for token in chunk.tokens]
            if len(ids) > 20 and not (one.draining.is_set() or other.draining.is_set()):
                busy = max((one, other), key=lambda rig: rig.target_pool.replicas[0].num_sessions)
                busy.draining.set()
        assert one.draining.is_set() or other.draining.is_set()
        assert ids == list(stream.answer.token_ids) == continuation(PROMPT, 150)


class TestThreads:
    """The client without asyncio."""

    async def test_one_client_serves_many_threads(self, redis: RedisServer) -> None:
        async with orchestrating(redis.url, [target(), draft()]) as rig:

            def work() -> None:
                with Client(rig.address) as client, ThreadPoolExecutor(8) as threads:
                    calls = [
                        threads.submit(client.complete, [*PROMPT, number], max_tokens=20)
                        for number in range(16)
                    ]
                    for number, call in enumerate(calls):
                        answer = call.result()
                        assert list(answer.token_ids) == continuation([*PROMPT, number], 20)
                    first = client.chat("hello", max_tokens=10)
                    assert first.rewind(4).token_ids == first.token_ids == first.fork(5).token_ids
                    assert first.reply("more", max_tokens=3).session_id == first.session_id
                    stream = client.stream("hello", max_tokens=200)
                    for chunk in stream:
                        if chunk.round > 2:
                            break
                    more = stream.answer.continue_(max_tokens=30)
                    assert list(more.token_ids) == continuation(CONVERSATION, len(stream.answer.tokens) + 30)
                    assert client.models().target.name == "scripted"

            await asyncio.to_thread(work)

    async def test_leaving_the_loop_cancels_the_call(self) -> None:
        fake = FakeOrchestrator(is_endless=True)
        async with serving(fake) as address:

            def work() -> None:
                with Client(address) as client:
                    for chunk in client.stream("hello"):
                        assert chunk.text == "int main"
                        break

            await asyncio.to_thread(work)
            await fake.cancelled.wait()

    async def test_closing_ends_what_runs_in_other_threads(self) -> None:
        async with serving(FakeOrchestrator(is_endless=True)) as address:

            def work() -> None:
                client = Client(address)
                has_begun = threading.Event()
                ended: list[ClientClosedError] = []

                def read() -> None:
                    try:
                        for _ in client.stream("hello"):
                            has_begun.set()
                    except ClientClosedError as error:
                        ended.append(error)

                reader = threading.Thread(target=read)
                reader.start()
                has_begun.wait()
                client.close()
                client.close()
                reader.join()
                assert ended
                with pytest.raises(ClientClosedError):
                    client.chat("hello")

            await asyncio.to_thread(work)

    @pytest.mark.parametrize("how", ["ctrl-c", "the end of the program"])
    async def test_a_program_ends_when_it_is_told_to(self, how: str) -> None:
        fake = FakeOrchestrator(is_endless=True)
        program = (
            "import sys\n"
            "from paceline.client import Client\n"
            "client = Client(sys.argv[1])\n"
            "stream = client.stream('hello')\n"
            "try:\n"
            "    for chunk in stream:\n"
            "        print(chunk.text, flush=True)\n"
            "        if sys.argv[2] != 'ctrl-c' and chunk.round == 2: break\n"
            "except KeyboardInterrupt:\n"
            "    print('kept', stream.answer.text, flush=True)\n"
        )
        async with serving(fake) as address:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-c", program, address, how, stdout=subprocess.PIPE
            )
            assert process.stdout is not None
            assert await process.stdout.readline() == b"int main\n"
            assert await process.stdout.readline() == b"()\n"
            if how == "ctrl-c":
                process.send_signal(signal.SIGINT)
                assert await process.stdout.readline() == b"kept int main()\n"
            assert await process.wait() == 0
            await fake.cancelled.wait()


async def test_closing_ends_what_runs() -> None:
    async with serving(FakeOrchestrator(is_endless=True)) as address:
        client = AsyncClient(address)
        reading = asyncio.create_task(client.chat("hello"))
        await asyncio.sleep(0.1)
        await client.close()
        with pytest.raises(ClientClosedError):
            await reading
        with pytest.raises(ClientClosedError):
            await client.models()


class TestConnection:
    async def test_tls_and_a_certificate_of_ones_own(self, tmp_path) -> None:
        authority = Authority()
        server, own = (
            MountedSecret(tmp_path / name, authority.issue(name)) for name in ("orchestrator", "caller")
        )
        assert own.files.own is not None
        assert server.files.own is not None
        async with serving(FakeOrchestrator(), server.files) as address:
            async with AsyncClient(
                address,
                api_key="pl_key",
                ca_file=own.files.ca,
                certificate_file=own.files.own.certificate,
                key_file=own.files.own.key,
                server_name="orchestrator",
            ) as client:
                assert (await client.chat("hello")).text == "int main()"
            retry = RetrySettings(give_up_at_first_seconds=0.0)
            async with AsyncClient(address, retry=retry) as client:
                with pytest.raises(HandshakeFailedError, match="TLS_REQUIRED"):
                    await client.chat("hello")

    def test_settings_that_cannot_be_used_are_refused_at_once(self) -> None:
        for settings in ({"server_name": "a"}, {"key_file": "a.key"}, {"api_key": "two words"}):
            with pytest.raises(ConfigError):
                Client("127.0.0.1:1", **cast("dict[str, Any]", settings))
        with pytest.raises(ConfigError, match="address"):
            AsyncClient(" , ")

    def test_the_environment_names_the_orchestrators(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("PACELINE_ADDRESS", raising=False)
        with pytest.raises(ConfigError, match="PACELINE_ADDRESS"):
            AsyncClient.from_environment()
        monkeypatch.setenv("PACELINE_ADDRESS", "127.0.0.1:1, 127.0.0.1:2")
        monkeypatch.setenv("PACELINE_API_KEY", "pl_key")
        client = AsyncClient.from_environment()
        assert client._destination.addresses == ("127.0.0.1:1", "127.0.0.1:2")
        assert client._destination.connection.api_key == "pl_key"

    async def test_nobody_there_is_an_error_after_a_while(self) -> None:
        retry = RetrySettings(give_up_at_first_seconds=0.2)
        async with AsyncClient(["127.0.0.1:1", "127.0.0.1:2"], retry=retry) as client:
            with pytest.raises(UnavailableError, match="nobody answers"):
                await client.chat("hello")


def _modules_after(statement: str) -> set[str]:
    """Return the top-level modules that a fresh Python has loaded behind a statement."""
    code = f"{statement}; import sys; print(*{{name.split('.')[0] for name in sys.modules}})"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(ended.stdout.split())


def test_importing_it_loads_what_it_needs_and_no_more() -> None:
    # Some distributions' Pythons load a sitecustomize of theirs, whatever is run.
    loaded = _modules_after("import paceline.client") - _modules_after("pass")
    third_party = {name for name in loaded - sys.stdlib_module_names if not name.startswith("_")}
    # The last three come with grpc itself, which looks if they are there; cython_runtime is of its extension.
    expected = {"paceline", "google", "grpc", "grpc_status", "grpc_health", "grpc_reflection", "grpc_tools"}
    assert third_party <= expected | {"cython_runtime", "typing_extensions"}
    assert "opentelemetry" not in loaded
