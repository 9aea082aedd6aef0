"""A gateway in front of replicas whose text can be read."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import pytest

from tests.orchestrator.gateway.gateway_rig import HttpRig, serving_http
from tests.orchestrator.gateway.playground.prose import TOKENIZER, Prose


@dataclass
class Site:
    """A gateway, and the replicas behind it."""

    rig: HttpRig
    prose: Prose


@asynccontextmanager
async def serving_prose(redis_url: str, **settings) -> AsyncIterator[Site]:
    """Serve replicas of prose and a gateway; `settings` are options of the orchestrator."""
    prose = Prose()
    async with AsyncExitStack() as stack:
        with pytest.MonkeyPatch.context() as patch:  # the rig has a tokenizer for all tests
            patch.setattr("tests.orchestrator.rig.TOKENIZER", TOKENIZER)
            rig = await stack.enter_async_context(serving_http(redis_url, prose.services, **settings))
        yield Site(rig, prose)
