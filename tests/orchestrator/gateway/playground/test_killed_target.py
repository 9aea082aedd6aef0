"""A real target is killed in the middle of an answer that a browser shows."""

import os
import signal
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.end_to_end.cluster_process import RunningCluster, running_cluster
from tests.orchestrator.gateway.playground.browser import Visit

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.slow]

QUESTION = "Explain how a bicycle stays upright."
NUM_TOKENS = 96


async def test_the_text_is_as_undisturbed(browser: Any, tmp_path: Path) -> None:
    with running_cluster(tmp_path, "--pair", "tiny", "--target-replicas", "2") as cluster:
        url = f"http://{cluster.description['http_address']}"
        context = await browser.new_context(locale="en-GB")
        visit = Visit(await context.new_page(), url)
        await visit.open()
        await visit.page.fill("#max-tokens", str(NUM_TOKENS))
        await visit.begin(QUESTION, 20)
        os.kill(cluster.pids[await busy_target(url, cluster)], signal.SIGKILL)
        await visit.end()
        assert await visit.text() == await undisturbed(url)
        assert await visit.page.locator(".token.is-after-failover").count() > 0
        assert visit.complaints == []
        await context.close()


async def busy_target(url: str, cluster: RunningCluster) -> str:
    """The name of the target whose engine has something to do."""
    async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
        while True:
            status = (await client.get("/paceline/v1/status")).json()
            for target in status["targets"]:
                if target["replica"].get("progress", {}).get("num_running"):
                    name = target["replica"]["replica_id"]
                    assert name in cluster.pids
                    return name


async def undisturbed(url: str) -> str:
    """The same answer, asked for by another client when all is quiet."""
    body = {
        "messages": [{"role": "user", "content": QUESTION}],
        "max_tokens": NUM_TOKENS,
        "seed": 7,
        "temperature": 0.7,
        "top_p": 0.95,
    }
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=120) as client:
        answer = await client.post("/v1/chat/completions", json={"model": "", **body})
    return answer.json()["choices"][0]["message"]["content"]
