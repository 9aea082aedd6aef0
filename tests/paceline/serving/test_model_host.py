"""A process whose engine has failed does not go on as if nothing had happened."""

import asyncio

import pytest

from paceline.engine.errors import EngineFailedError
from paceline.serving.model_host import serve_while_it_computes
from paceline.serving.session import Session
from target_service.program import target_service
from tests.paceline.serving.rig import model_service


async def test_a_failed_pass_ends_the_process_with_its_reason() -> None:
    async with model_service(target_service, Session) as rig:
        serving = asyncio.create_task(serve_while_it_computes(rig.server, rig.engine))
        await asyncio.sleep(0)
        rig.engine.failure = EngineFailedError(
            "The engine failed: out of memory. Go on with another replica."
        )
        with pytest.raises(EngineFailedError, match="out of memory"):
            await serving


async def test_a_request_to_stop_ends_it_without_an_error() -> None:
    async with model_service(target_service, Session) as rig:
        serving = asyncio.create_task(serve_while_it_computes(rig.server, rig.engine))
        rig.server.request_stop()
        await serving
