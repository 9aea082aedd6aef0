"""One browser and one cluster of scripted replicas for all tests of the page."""

import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest_asyncio

from paceline.local.redis_server import redis_server
from tests.orchestrator.gateway.playground.browser import Visit, running_browser
from tests.orchestrator.gateway.playground.site import Site, serving_prose


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Any]:
    async with running_browser() as running:
        yield running


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def running_site() -> AsyncIterator[Site]:
    with tempfile.TemporaryDirectory(prefix="paceline-") as directory:
        async with (
            redis_server(Path(directory), Path(directory) / "redis.log") as server,
            serving_prose(server.url) as site,
        ):
            yield site


@pytest_asyncio.fixture(loop_scope="session")
async def site(running_site: Site) -> AsyncIterator[Site]:
    yield running_site
    running_site.prose.release()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def loaded(browser: Any, running_site: Site) -> AsyncIterator[Visit]:
    """The page in a wide window."""
    context = await browser.new_context(
        viewport={"width": 1360, "height": 860}, locale="en-GB", reduced_motion="reduce"
    )
    visit = Visit(await context.new_page(), running_site.rig.url)
    await visit.open()
    yield visit
    await context.close()


@pytest_asyncio.fixture(loop_scope="session")
async def visit(loaded: Visit, site: Site) -> AsyncIterator[Visit]:
    """The page at its beginning; whatever a test does, it asks no other host and complains of nothing."""
    await loaded.begin_anew()
    yield loaded
    assert loaded.hosts == {site.rig.url.removeprefix("http://")}
    assert loaded.complaints == []
