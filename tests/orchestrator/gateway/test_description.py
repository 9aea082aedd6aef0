"""The description of the API is true of what is served: Schemathesis asks whatever it allows and finds no defect."""

import asyncio
import sys

import pytest

from tests.orchestrator.gateway.gateway_rig import HttpRig, serving_http
from tests.orchestrator.rig import draft, target


@pytest.fixture
async def rig(redis):
    """A gateway whose answers are short."""
    async with serving_http(redis.url, [target(), draft()], max_tokens=4, max_choices=2) as rig:
        yield rig


async def attack(rig: HttpRig, num_allowed: int, num_others: int) -> None:
    program = (sys.executable, "-m", "tests.orchestrator.gateway.schema_attack")
    arguments = (rig.url, str(num_allowed), str(num_others))
    process = await asyncio.create_subprocess_exec(
        *program, *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    told, _ = await process.communicate()
    assert process.returncode == 0, told.decode()
    assert (await rig.http.get("/health")).json() == {"status": "ready", "reasons": []}


async def test_nothing_that_the_description_allows_is_a_defect(rig):
    await attack(rig, num_allowed=6, num_others=3)


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_nothing_that_the_description_allows_is_a_defect_however_long_it_is_asked(rig):
    await attack(rig, num_allowed=300, num_others=60)
