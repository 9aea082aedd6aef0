"""The three programs and Redis as real processes, with a real model: speculation on equals off."""

import asyncio
import signal
from contextlib import AsyncExitStack
from typing import Any

import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from paceline.client.generation import GenerationRequest, RawPrompt
from paceline.client.orchestrator import connect
from paceline.local.listen_address import free_ports
from paceline.models.prepared import NotPreparedError, find_prepared
from tests.orchestrator.rig import OFF, TOKENIZER, fixed
from tests.paceline.serving.processes import Program, program

MODEL = "smollm2-135m-instruct"


@pytest.fixture
async def cluster(redis):
    try:
        directory = str(find_prepared(MODEL, "int8"))
    except NotPreparedError as error:
        pytest.skip(error.message)
    draft_port, target_port, port = free_ports(3)
    model = ("--model", directory, "--kv-cache-mib", "64", "--grace-seconds", "5")
    addresses = [f"127.0.0.1:{one}" for one in (draft_port, target_port, port)]
    async with AsyncExitStack() as stack:
        programs: list[Program] = [
            await stack.enter_async_context(one)
            for one in (
                program("draft_service", "--listen", addresses[0], *model, "--weights", "int8"),
                program("target_service", "--listen", addresses[1], *model, "--weights", "int8"),
                program(
                    "orchestrator",
                    *("--listen", addresses[2], "--draft-addresses", addresses[0]),
                    *("--target-addresses", addresses[1], "--redis-url", redis.url),
                    *("--model", directory, "--grace-seconds", "5"),
                ),
            )
        ]
        for one in programs:
            await one.event("serving")
        yield addresses[2], programs


async def test_real_models_give_the_same_text_with_speculation_and_every_process_ends_well(cluster):
    address, programs = cluster
    prompts = [RawPrompt(text) for text in ("def quicksort(", "The capital of France is", "日本の首都は")]
    async with connect(address) as client:
        alone = [await client.complete(GenerationRequest(one, 48, speculation=OFF)) for one in prompts]
        together = await asyncio.gather(
            *(
                client.complete(GenerationRequest(one, 48, speculation=fixed(k)))
                for one in prompts
                for k in (1, 5)
            )
        )
    for number, completion in enumerate(together):
        assert completion.token_ids == alone[number // 2].token_ids
        assert completion.text == alone[number // 2].text
        assert completion.summary.speculation.num_accepted_tokens > 0
        assert set(completion.summary.speculation.num_degraded_rounds) <= {"DRAFT_LATE"}  # on a busy machine
    for one in reversed(programs):
        one.process.send_signal(signal.SIGTERM)
        assert await one.exit_code() == 0


async def test_the_orchestrator_is_not_serving_without_a_target_and_still_ends_on_sigterm(redis, tmp_path):
    TOKENIZER.save(tmp_path)
    (tmp_path / "paceline.json").write_text("{}")
    (port,) = free_ports(1)
    address = f"127.0.0.1:{port}"
    arguments = ("--listen", address, "--target-addresses", "127.0.0.1:1", "--redis-url", redis.url)
    async with program("orchestrator", *arguments, "--model", str(tmp_path)) as orchestrator:
        await orchestrator.event("listening")
        async with grpc.aio.insecure_channel(address) as channel:
            health: Any = health_pb2_grpc.HealthStub(channel)
            answer = await health.Check(health_pb2.HealthCheckRequest(), wait_for_ready=True)
        assert answer.status == health_pb2.HealthCheckResponse.NOT_SERVING
        orchestrator.process.send_signal(signal.SIGTERM)
        assert await orchestrator.exit_code() == 0
