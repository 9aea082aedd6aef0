"""OrchestratorService on the wire: gRPC's calls in and out, everything else in `Orchestration`."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import grpc.aio

from orchestrator.closings import Closings
from orchestrator.departure import Departure
from orchestrator.generation import Surroundings
from orchestrator.orchestration import Orchestration
from orchestrator.tenant import caller
from paceline.models.tokenizer import Tokenizer
from paceline.v1 import orchestrator_service_pb2 as messages
from paceline.v1 import orchestrator_service_pb2_grpc


class OrchestratorServicer(orchestrator_service_pb2_grpc.OrchestratorServiceServicer):
    """Serves OrchestratorService.

    Attributes:
        orchestration: What it serves, for whoever calls it in this process.
    """

    def __init__(
        self, surroundings: Surroundings, tokenizer: Tokenizer, draining: asyncio.Event, closings: Closings
    ) -> None:
        self.orchestration = Orchestration(surroundings, tokenizer, draining, closings)

    async def GetModel(
        self, request: messages.OrchestratorServiceGetModelRequest, context: grpc.aio.ServicerContext
    ) -> messages.OrchestratorServiceGetModelResponse:
        """Describe the served model and the pools behind it."""
        return self.orchestration.model(caller())

    async def Generate(
        self, request: messages.GenerateRequest, context: grpc.aio.ServicerContext
    ) -> AsyncIterator[messages.GenerateResponse]:
        """Generate text, a chunk a round."""
        departure = Departure()
        # A client that vanishes while a chunk is on its way to it does not wake this generator at once.
        context.add_done_callback(lambda _: departure.note())  # pyright: ignore[reportArgumentType]
        metadata = context.invocation_metadata() or ()
        responses = self.orchestration.generate(request, caller(), metadata, departure)
        async with aclosing(responses):
            async for response in responses:
                yield response
