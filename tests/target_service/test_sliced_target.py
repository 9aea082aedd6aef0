"""The target service whose model lies in slices in several processes: how all of them end."""

import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc.aio
import pytest

from paceline.models.prepare import prepare
from paceline.v1 import target_service_pb2 as messages
from paceline.v1.target_service_pb2_grpc import TargetServiceStub
from tests.paceline.serving.processes import Program, program
from tests.paceline.serving.rig import point
from tests.process_state import is_there

pytest.importorskip("torch", reason="torch is not installed (`make setup` installs it)")
pytest.importorskip("accelerate", reason="accelerate is not installed (the extra `accelerator`)")

pytestmark = [pytest.mark.reference, pytest.mark.slow, pytest.mark.timeout(600)]

NUM_SLICES = 3
PROMPT = [504, 3575, 282, 4649, 314]


@asynccontextmanager
async def sliced_target() -> AsyncIterator[tuple[Program, int]]:
    """A target that serves, and its port."""
    model = prepare("smollm2-135m-instruct", "f16")
    engine = ["--engine", "torch", "--device", "cpu", "--tensor-parallel", str(NUM_SLICES)]
    options = ["--listen", "127.0.0.1:0", "--model", str(model), "--kv-cache-mib", "32"]
    async with program("target_service", *options, *engine) as target:
        port = (await target.event("listening"))["port"]
        await target.event("serving")
        yield target, port


def followers_of(target: Program) -> list[int]:
    tasks = Path(f"/proc/{target.process.pid}/task").iterdir()
    return [int(pid) for task in tasks for pid in (task / "children").read_text().split()]


async def test_a_request_to_stop_ends_all_of_them() -> None:
    async with sliced_target() as (target, _):
        followers = followers_of(target)
        assert len(followers) == NUM_SLICES - 1
        target.process.send_signal(signal.SIGTERM)
        assert await target.exit_code() == 0
    assert not any(map(is_there, followers))


async def test_a_follower_that_dies_in_a_round_fails_it_and_ends_the_service() -> None:
    async with sliced_target() as (target, port):
        followers = followers_of(target)
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            call: Any = TargetServiceStub(channel).Verify()
            round_ = messages.VerifyRound(point=point("a", 0, PROMPT), max_own_tokens=200)
            await call.write(messages.VerifyRequest(rounds=[round_]))
            assert (await call.read()).HasField("progress")
            os.kill(followers[0], signal.SIGKILL)
            assert await _reason_of_failure(call) in {"ENGINE_FAILED", "UNAVAILABLE"}  # whichever comes first
        await _check_that_it_ends(target, followers)


async def test_a_follower_that_dies_while_nobody_asks_anything_ends_the_service() -> None:
    async with sliced_target() as (target, _):
        followers = followers_of(target)
        os.kill(followers[0], signal.SIGKILL)
        await _check_that_it_ends(target, followers)


async def _reason_of_failure(call: Any) -> str:
    """Read to the end of a round that fails: with a result of its own, or with the service."""
    try:
        while not (response := await call.read()).results:
            assert response.HasField("progress")
    except grpc.aio.AioRpcError as error:
        return error.code().name
    return response.results[0].error.reason


async def _check_that_it_ends(target: Program, followers: list[int]) -> None:
    """With a sentence that names the first follower, and all of them."""
    assert await target.exit_code() == 1
    assert f"(process {followers[0]}), was ended by SIGKILL" in target.lines[-1]
    assert not any(map(is_there, followers))
