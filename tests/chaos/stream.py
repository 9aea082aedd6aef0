"""One call of Generate that a test reads as far as it likes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc.aio

from paceline.serving.status import error_reason
from paceline.v1 import orchestrator_service_pb2 as pb
from paceline.v1.orchestrator_service_pb2_grpc import OrchestratorServiceStub
from tests.chaos.transcript import Transcript

FINISHED = "FINISHED"


class Stream:
    """Adds the events of one call to a transcript, which checks them."""

    def __init__(self, call: Any, transcript: Transcript) -> None:
        self._call = call
        self.transcript = transcript

    async def until(self, num_tokens: int) -> None:
        """Read until the transcript has so many tokens; fails where the stream ends before."""
        while len(self.transcript.ids) < num_tokens:
            end = await self._read()
            assert end is None, f"the stream ended after {len(self.transcript.ids)} tokens: {end}"

    async def end(self) -> str:
        """Read to the end and return its reason, FINISHED after a summary."""
        while (reason := await self._read()) is None:
            pass
        return reason

    def cancel(self) -> None:
        """Go away."""
        self._call.cancel()

    async def _read(self) -> str | None:
        """Take one event; return the reason of the end where there is none."""
        try:
            message = await self._call.read()
        except grpc.aio.AioRpcError as error:
            return error_reason(error).reason
        if message is grpc.aio.EOF:
            assert self.transcript.is_finished
            return FINISHED
        self.transcript.add(message)
        return None


@asynccontextmanager
async def generating(
    address: str, request: pb.GenerateRequest, transcript: Transcript
) -> AsyncIterator[Stream]:
    """Call Generate at an orchestrator inside the block, on a connection of its own."""
    async with grpc.aio.insecure_channel(address, [("grpc.use_local_subchannel_pool", 1)]) as channel:
        stream = Stream(OrchestratorServiceStub(channel).Generate(request), transcript)
        try:
            yield stream
        finally:
            stream.cancel()


def resume(transcript: Transcript) -> pb.GenerateRequest:
    """Return the request that goes on where a transcript ends."""
    assert transcript.token, "no rollback token has come"
    return pb.GenerateRequest(
        continuation=pb.Continuation(rollback_token=transcript.token, mode=pb.CONTINUATION_MODE_RESUME)
    )
