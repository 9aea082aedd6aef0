"""Streams that begin slowly, whose client goes, and that an orchestrator which shuts down has to end."""

import asyncio
import json

from tests.orchestrator.gateway.gateway_rig import error_of, serving_http
from tests.orchestrator.gateway.raw_client import connected
from tests.orchestrator.gateway.scripted_core import ScriptedCore
from tests.orchestrator.rig import draft, target, until
from tests.orchestrator.scripted_model import continuation

CHAT = {"messages": [{"role": "user", "content": "x"}], "stream": True}
LONG = {"prompt": "abc", "max_tokens": 4000, "stream": True}


async def test_a_stream_that_is_silent_is_kept_alive_by_comments_before_its_first_chunk_and_later(redis):
    async with serving_http(redis.url, [target()], http_keep_alive_seconds=0.02) as rig:
        for pause in (0, 1):
            with rig.writing(ScriptedCore("a", "b", pause_before=pause)) as core:
                async with rig.http.stream("POST", "/v1/chat/completions", json=CHAT) as response:
                    assert response.status_code == 200
                    lines = []
                    async for line in response.aiter_lines():
                        lines.append(line)
                        if lines.count(": keep-alive") == 3:
                            core.go_on.set()
            before = [line for line in lines[: lines.index(": keep-alive")] if line]
            assert len(before) == (0 if pause == 0 else 2)
            assert lines.count("data: [DONE]") == 1


async def test_a_client_that_goes_ends_its_generation_in_a_stream_and_before_the_answer(redis):
    async with serving_http(redis.url, [target(), draft()]) as rig:
        replica = rig.rig.targets[0]
        for body in (LONG, {**LONG, "stream": False}):
            replica.engine_runs.clear()
            async with connected(rig) as client:
                await client.send("/v1/completions", body)
                await until(lambda: bool(replica.rounds))
                client.vanish()
                await until(lambda: rig.rig.surroundings.watch.metrics.num_running == 0)
            replica.engine_runs.set()
            await until(lambda: not replica.caches)
            replica.rounds.clear()
        page = (await rig.http.get("/metrics")).text
    assert 'http_response_status_code="499"' in page


async def test_a_client_that_closes_its_side_in_mid_stream_is_gone(redis):
    async with serving_http(redis.url, [target(), draft()]) as rig:
        async with rig.http.stream("POST", "/v1/completions", json=LONG) as response:
            async for line in response.aiter_lines():
                if line:
                    break
        await until(lambda: rig.rig.surroundings.watch.metrics.num_running == 0)
        await until(lambda: not rig.rig.targets[0].caches)


async def test_a_draining_gateway_ends_what_runs_and_sends_new_requests_elsewhere(redis):
    async with serving_http(redis.url, [target(), draft()], handover_seconds=60.0) as rig:
        serving = asyncio.create_task(rig.rig.server.serve())
        replica = rig.rig.targets[0]
        replica.engine_runs.clear()
        async with rig.http.stream("POST", "/v1/completions", json={**LONG, "max_tokens": 40}) as response:
            rig.rig.server.request_stop()
            await rig.rig.draining.wait()
            refused = await rig.post("/v1/completions", {"prompt": "x"})
            health = await rig.http.get("/health")
            replica.engine_runs.set()
            events = [
                json.loads(line[6:]) async for line in response.aiter_lines() if line.startswith("data: {")
            ]
        await serving
    assert error_of(refused)[:3] == (503, "overloaded_error", "DRAINING")
    assert refused.headers["retry-after"] == "1"
    assert refused.headers["connection"] == "close"  # a repeat over it would come back here
    assert (health.status_code, health.json()["reasons"]) == (503, ["DRAINING"])
    position = events[-1]["paceline"]["summary"]["usage"]["num_completion_tokens"]
    assert position == len(continuation(list(b"abc"), 40)) == 40


async def test_a_stream_that_a_drain_cannot_wait_for_is_told_and_goes_on_elsewhere(redis):
    replicas = [target(), draft()]
    async with serving_http(redis.url, replicas, handover_seconds=0.0) as rig:
        serving = asyncio.create_task(rig.rig.server.serve())
        events = []
        async with rig.http.stream("POST", "/v1/completions", json=LONG) as response:
            async for line in response.aiter_lines():
                if line.startswith("data: {"):
                    events.append(json.loads(line[6:]))
                if len(events) == 5:
                    rig.rig.server.request_stop()
        await serving
    assert events[-1]["error"]["code"] == "DRAINING"
    assert events[-2]["paceline"]["rollback_token"]


async def test_health_says_what_is_missing(redis):
    loading = target()
    loading.replica.is_ready = False
    async with serving_http(redis.url, [draft()], target_addresses=("127.0.0.1:1",)) as rig:
        health = await rig.http.get("/health")
        assert (health.status_code, health.json()["status"]) == (503, "not_ready")
        assert health.json()["reasons"] == ["NO_TARGET_REPLICA"]
        assert (await rig.http.get("/v1/models")).json()["data"] == []
        refused = await rig.post("/v1/completions", {"prompt": "x"})
        assert error_of(refused)[:3] == (503, "overloaded_error", "NO_TARGET_REPLICA")
        assert rig.rig.surroundings.signer.key is not None
