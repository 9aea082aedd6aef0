"""The target service as a process with a real model: start, health, rounds, end."""

import asyncio
import signal
import sys
from pathlib import Path
from typing import Any, cast

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from paceline.models.prepare import prepare
from paceline.serving.status import error_reason
from paceline.v1 import target_service_pb2 as messages
from paceline.v1.target_service_pb2_grpc import TargetServiceStub
from tests.paceline.serving.processes import ROOT, program
from tests.paceline.serving.rig import point

SERVICE = "paceline.v1.TargetService"
PROMPT = [504, 3575, 282, 4649, 314]
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


@pytest.fixture(scope="module")
def arguments() -> list[str]:
    model = prepare("smollm2-135m-instruct", "int8")
    return [
        "--listen",
        "127.0.0.1:0",
        "--model",
        str(model),
        "--kv-cache-mib",
        "64",
        "--replica-id",
        "target-0",
    ]


async def health_of(channel: grpc.aio.Channel, service: str = "") -> int:
    stub: Any = health_pb2_grpc.HealthStub(channel)
    return (await stub.Check(health_pb2.HealthCheckRequest(service=service))).status


async def result_of(call: Any) -> messages.VerifyResult:
    """The next result of a stream; signs of life come between."""
    while not (response := await call.read()).results:
        assert response.HasField("progress")
    return response.results[0]


async def test_a_life_from_not_serving_to_serving_to_drained(arguments: list[str]) -> None:
    async with program("target_service", *arguments, "--grace-seconds", "60") as target:
        port = (await target.event("listening"))["port"]
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            stub = TargetServiceStub(channel)
            assert await health_of(channel) == await health_of(channel, SERVICE) == NOT_SERVING
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stub.GetModel(messages.TargetServiceGetModelRequest())
            assert error_reason(caught.value).reason == "MODEL_NOT_READY"

            await target.event("serving")
            assert await health_of(channel) == await health_of(channel, SERVICE) == SERVING
            described = await stub.GetModel(messages.TargetServiceGetModelRequest())
            assert described.model.self_test.batch_invariant
            assert described.replica.replica_id == "target-0"

            call = stub.Verify()
            await call.write(
                messages.VerifyRequest(
                    rounds=[messages.VerifyRound(point=point("a", 0, PROMPT), max_own_tokens=4)]
                )
            )
            own = list((await result_of(call)).verdict.own_ids)
            assert len(own) == 4

            # A round of many passes is running when the signal comes.
            await call.write(
                messages.VerifyRequest(
                    rounds=[messages.VerifyRound(point=point("b", 0, PROMPT), max_own_tokens=64)]
                )
            )
            await call.write(
                messages.VerifyRequest(
                    rounds=[messages.VerifyRound(point=point("a", 0, PROMPT), draft_ids=[*own[:2], 1])]
                )
            )
            second = await result_of(call)
            assert (second.verdict.num_accepted, list(second.verdict.own_ids)) == (2, [own[2]])
            target.process.send_signal(signal.SIGTERM)
            await target.event("draining")
            await call.write(
                messages.VerifyRequest(rounds=[messages.VerifyRound(point=point("c", 0, PROMPT))])
            )
            refused = await result_of(call)
            assert (refused.session_id, refused.error.reason) == ("c", "DRAINING")
            last = await result_of(call)
            assert last.session_id == "b"
            assert list(last.verdict.own_ids)[:4] == own
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call.read()
            assert error_reason(caught.value).reason == "DRAINING"
        assert await target.exit_code() == 0, "".join(target.lines)


async def test_a_pass_that_outlasts_the_grace_period_is_left_running(arguments: list[str]) -> None:
    """One pass takes the whole prompt, which is longer than the grace period."""
    flags = ["--max-rows-per-step", "2048", "--grace-seconds", "0.4", "--progress-seconds", "0.05"]
    async with program("target_service", *arguments, *flags) as target:
        port = (await target.event("listening"))["port"]
        await target.event("serving")
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            call = TargetServiceStub(channel).Verify()
            prompt = [token_id % 1000 for token_id in range(1200)]
            await call.write(
                messages.VerifyRequest(rounds=[messages.VerifyRound(point=point("a", 0, prompt))])
            )
            while not (await cast("Any", call).read()).HasField("progress"):
                pass
            target.process.send_signal(signal.SIGTERM)
            result = await result_of(call)
            assert result.error.reason == "DRAINING"
            assert await target.exit_code() == 0, "".join(target.lines)
    assert any("pass_left_running" in line for line in target.lines)


async def test_a_client_that_keeps_its_stream_open_and_silent_does_not_delay_the_end(
    arguments: list[str],
) -> None:
    async with program("target_service", *arguments, "--grace-seconds", "3600") as target:
        port = (await target.event("listening"))["port"]
        await target.event("serving")
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            call = TargetServiceStub(channel).Verify()
            await call.write(
                messages.VerifyRequest(rounds=[messages.VerifyRound(point=point("a", 0, PROMPT))])
            )
            await result_of(call)
            target.process.send_signal(signal.SIGTERM)
            assert await target.exit_code() == 0, "".join(target.lines)


async def test_reflection_names_the_services(arguments: list[str]) -> None:
    async with program("target_service", *arguments) as target:
        port = (await target.event("listening"))["port"]
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            stub: Any = reflection_pb2_grpc.ServerReflectionStub(cast("Any", channel))
            call = stub.ServerReflectionInfo()
            await call.write(reflection_pb2.ServerReflectionRequest(list_services=""))
            response = await call.read()
            names = {service.name for service in response.list_services_response.service}
        assert {SERVICE, "grpc.health.v1.Health"} <= names
        # A signal while the model loads is an orderly end too.
        target.process.send_signal(signal.SIGINT)
        assert await target.exit_code() == 0, "".join(target.lines)


async def test_a_port_in_use_is_one_sentence(arguments: list[str]) -> None:
    listener = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    async with listener, program("target_service", *arguments, "--listen", f"127.0.0.1:{port}") as target:
        assert await target.exit_code() == 2
    [sentence] = [line for line in target.lines if line.startswith("target_service: ")]
    assert f"127.0.0.1:{port}" in sentence
    assert "Traceback" not in "".join(target.lines)


async def test_a_model_that_is_not_prepared_is_one_sentence(tmp_path: Path) -> None:
    flags = ["--listen", "127.0.0.1:0", "--model", str(tmp_path)]
    async with program("target_service", *flags) as target:
        assert await target.exit_code() == 1
    assert target.lines[-1].startswith("target_service: ")
    assert "Traceback" not in "".join(target.lines)


async def test_a_wrong_flag_is_one_sentence() -> None:
    async with program(
        "target_service", "--listen", "127.0.0.1:0", "--model", "m", "--weights", "int3"
    ) as target:
        assert await target.exit_code() == 2
    assert len(target.lines) == 1
    assert "--weights" in target.lines[0]


async def test_a_service_dies_with_the_process_that_started_it(arguments: list[str]) -> None:
    """The parent is killed and can stop nothing; the end of the child's log tells that the child is gone."""
    script = (
        "import os, subprocess, sys, time\n"
        "subprocess.Popen([sys.executable, '-m', 'target_service', *sys.argv[1:],"
        " '--parent-pid', str(os.getpid())])\n"
        "time.sleep(600)\n"
    )
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, *arguments, cwd=ROOT, stderr=asyncio.subprocess.PIPE
    )
    assert parent.stderr is not None
    try:
        while b'"serving"' not in (line := await parent.stderr.readline()):
            assert line, "the service ended"
    finally:
        parent.kill()
    rest = await parent.stderr.read()
    assert b'"stopped"' in rest


async def test_a_parent_that_has_died_already_is_noticed(arguments: list[str]) -> None:
    async with program("target_service", *arguments, "--parent-pid", "1") as target:
        assert await target.exit_code() == 2
    assert "--parent-pid" in target.lines[-1]
