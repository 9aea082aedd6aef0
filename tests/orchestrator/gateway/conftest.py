"""One gateway for all tests that leave it as it was: most of what a test would take is its beginning and end."""

import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from paceline.local.redis_server import redis_server
from tests.orchestrator.conftest import redis
from tests.orchestrator.gateway.gateway_rig import HttpRig, serving_http
from tests.orchestrator.rig import draft, target


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def rig() -> AsyncIterator[HttpRig]:
    with tempfile.TemporaryDirectory(prefix="paceline-") as directory:
        async with (
            redis_server(Path(directory), Path(directory) / "redis.log") as server,
            serving_http(server.url, [target(), draft()], max_message_bytes=65_536) as running,
        ):
            yield running


__all__ = ["redis"]
