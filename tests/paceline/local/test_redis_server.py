"""The embedded server: a real one, with its data on disk, gone when the `with` ends."""

from pathlib import Path

import pytest
import redis.asyncio as redis

from paceline.local.errors import ProcessFailedError
from paceline.local.redis_server import RedisServer, redis_server


def client_of(server: RedisServer) -> redis.Redis:
    return redis.Redis.from_url(server.url, decode_responses=True)


async def test_it_answers_and_its_data_is_there_again_after_a_restart(tmp_path: Path) -> None:
    async with redis_server(tmp_path / "data", tmp_path / "log") as server, client_of(server) as client:
        await client.set("answer", "42")
    async with redis_server(tmp_path / "data", tmp_path / "log") as server, client_of(server) as client:
        assert await client.get("answer") == "42"


async def test_what_was_written_survives_a_kill(tmp_path: Path) -> None:
    async with redis_server(tmp_path / "data", tmp_path / "log") as server, client_of(server) as client:
        await client.set("answer", "42")
        server.process.kill()
        await server.process.wait()
    async with redis_server(tmp_path / "data", tmp_path / "log") as server, client_of(server) as client:
        assert await client.get("answer") == "42"


async def test_it_ends_with_code_0_and_lets_nobody_else_in(tmp_path: Path) -> None:
    async with redis_server(tmp_path / "data", tmp_path / "log") as server:
        assert (tmp_path / "data").stat().st_mode & 0o077 == 0
        async with client_of(server) as client:
            assert (await client.config_get("port"))["port"] == "0"
            assert (await client.config_get("appendonly"))["appendonly"] == "yes"
    assert server.process.exit_code == 0


async def test_scripts_run(tmp_path: Path) -> None:
    async with redis_server(tmp_path / "data", tmp_path / "log") as server, client_of(server) as client:
        script = client.register_script("return redis.call('incrby', KEYS[1], ARGV[1])")
        assert await script(keys=["count"], args=[5]) == 5


async def test_a_server_that_cannot_start_shows_its_last_words(tmp_path: Path) -> None:
    (tmp_path / "data" / "appendonlydir").mkdir(parents=True)
    (tmp_path / "data" / "appendonlydir" / "appendonly.aof.manifest").write_text("nonsense\n")
    with pytest.raises(ProcessFailedError) as caught:
        async with redis_server(tmp_path / "data", tmp_path / "log"):
            pass
    assert caught.value.exit_code != 0
    assert str(tmp_path / "log") in str(caught.value)
    assert "manifest" in str(caught.value)


async def test_a_directory_that_is_too_long_for_a_socket_gets_a_short_one_beside_it(tmp_path: Path) -> None:
    directory = tmp_path / ("x" * 100)
    async with redis_server(directory, tmp_path / "log") as server, client_of(server) as client:
        socket_path = Path(server.url.removeprefix("unix://"))
        assert socket_path.parent.stat().st_mode & 0o077 == 0
        await client.set("answer", "42")
    assert not socket_path.parent.exists()
    async with redis_server(directory, tmp_path / "log") as server, client_of(server) as client:
        assert await client.get("answer") == "42"
