"""A real Redis-compatible server for the tests of this folder."""

import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from paceline.local.redis_server import RedisServer, redis_server


@pytest.fixture
async def redis() -> AsyncIterator[RedisServer]:
    with tempfile.TemporaryDirectory(prefix="paceline-") as directory:  # short enough for a socket's path
        async with redis_server(Path(directory), Path(directory) / "redis.log") as server:
            yield server
