"""The page about the client: its blocks run as they stand."""

import asyncio
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import paceline.client
from paceline.client.options import Options
from paceline.local.redis_server import RedisServer
from tests.orchestrator.rig import draft, orchestrating, target

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs/client.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


async def test_every_block_runs(redis: RedisServer) -> None:
    assert len(BLOCKS) > 5
    async with orchestrating(redis.url, [target(), draft()]) as rig:

        def run(block: str) -> None:
            assert "127.0.0.1:7000" in block
            exec(compile(block.replace("127.0.0.1:7000", rig.address), "docs/client.md", "exec"), {})

        # Threads of their own: the orchestrator needs those of its loop.
        with ThreadPoolExecutor(len(BLOCKS)) as threads:
            loop = asyncio.get_running_loop()
            await asyncio.gather(*(loop.run_in_executor(threads, run, block) for block in BLOCKS))


def test_every_error_has_a_row() -> None:
    errors = {name for name in paceline.client.__all__ if name.endswith("Error")}
    bases = {"PacelineError", "CallFailedError", "StreamGapError"}  # the last is a defect
    assert {name for name in errors - bases if f"`{name}`" not in PAGE} == set()


def test_every_option_is_explained() -> None:
    assert Options.__doc__ is not None
    explained = re.findall(r"^        (\w+): ", Options.__doc__, re.MULTILINE)
    assert explained == list(Options.__annotations__)
