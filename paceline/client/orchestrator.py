"""The orchestrator as its callers see it."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager

import grpc.aio

from paceline.client.completion import Completion, CompletionBuilder
from paceline.client.errors import CallFailedError
from paceline.client.generation import GenerationEvent, GenerationRequest
from paceline.client.messages import event_of, request_message, served_models_of
from paceline.client.served_model import ServedModels
from paceline.client.tracing import traced_call
from paceline.v1 import orchestrator_service_pb2 as pb
from paceline.v1 import orchestrator_service_pb2_grpc as pb_grpc

# The orchestrator decides what is too large; gRPC's own limit must not come first.
# Pings notice an orchestrator that is stopped or cut off while a stream waits for it.
CHANNEL_OPTIONS = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.keepalive_time_ms", 6_000),
    ("grpc.keepalive_timeout_ms", 3_000),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
)


class Orchestrator:
    """A connection to one orchestrator; made by `connect`."""

    def __init__(self, address: str, channel: grpc.aio.Channel) -> None:
        self._address = address
        self._stub = pb_grpc.OrchestratorServiceStub(channel)

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[GenerationEvent]:
        """Yield the events of a generation; closing the generator or cancelling its task ends the session.

        Raises CallFailedError.
        """
        with traced_call("paceline.generate", **{"server.address": self._address}) as metadata:
            call = self._stub.Generate(request_message(request), metadata=metadata)
            try:
                async for message in call:
                    event = event_of(message)
                    if event is not None:
                        yield event
            except grpc.aio.AioRpcError as error:
                raise CallFailedError.of(self._address, error) from error
            finally:
                call.cancel()

    async def complete(self, request: GenerationRequest) -> Completion:
        """Return a generation's first choice with the times at which its tokens arrived; raises CallFailedError."""
        return (await self.complete_choices(request))[0]

    async def complete_choices(self, request: GenerationRequest) -> list[Completion]:
        """Return all choices of a generation, in their order; raises CallFailedError."""
        builders = [CompletionBuilder() for _ in range(request.num_choices)]
        async with aclosing(self.generate(request)) as events:
            async for event in events:
                builders[event.choice].add(event)
        return [builder.build() for builder in builders]

    async def served_models(self) -> ServedModels:
        """Return which models stand behind the orchestrator; raises CallFailedError."""
        try:
            response = await self._stub.GetModel(pb.OrchestratorServiceGetModelRequest())
        except grpc.aio.AioRpcError as error:
            raise CallFailedError.of(self._address, error) from error
        return served_models_of(response)


@asynccontextmanager
async def connect(address: str) -> AsyncIterator[Orchestrator]:
    """Connect to the orchestrator at HOST:PORT inside a `with`; the first call finds out if it is there."""
    async with grpc.aio.insecure_channel(address, options=CHANNEL_OPTIONS) as channel:
        yield Orchestrator(address, channel)
