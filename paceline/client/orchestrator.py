"""The orchestrator as its callers see it."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager

import grpc.aio

from paceline.client.completion import Completion, CompletionBuilder
from paceline.client.connection import PLAIN_TEXT, Connection, ConnectionSettings, connected
from paceline.client.generation import GenerationEvent, GenerationRequest
from paceline.client.messages import event_of, request_message, served_models_of
from paceline.client.served_model import ServedModels
from paceline.client.tracing import traced_call
from paceline.v1 import orchestrator_service_pb2 as pb
from paceline.v1 import orchestrator_service_pb2_grpc as pb_grpc


class Orchestrator:
    """A connection to one orchestrator; made by `connect`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @property
    def address(self) -> str:
        """Where it is, HOST:PORT."""
        return self._connection.address

    async def generate(
        self, request: GenerationRequest, timeout_seconds: float | None = None
    ) -> AsyncGenerator[GenerationEvent]:
        """Yield the events of a generation; closing the generator or cancelling its task ends the session.

        Raises CallFailedError, also where it takes longer than the timeout.
        """
        connection = self._connection
        with traced_call("paceline.generate", **{"server.address": connection.address}) as trace:
            metadata = (*connection.metadata, *trace)
            call = self._stub.Generate(request_message(request), timeout=timeout_seconds, metadata=metadata)
            try:
                async for message in call:
                    event = event_of(message)
                    if event is not None:
                        yield event
            except grpc.aio.AioRpcError as error:
                raise connection.failure(error) from error
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

    async def served_models(self, timeout_seconds: float | None = None) -> ServedModels:
        """Return which models stand behind the orchestrator; raises CallFailedError."""
        request = pb.OrchestratorServiceGetModelRequest()
        return served_models_of(await self._connection.ask(self._stub.GetModel, request, timeout_seconds))

    @property
    def _stub(self) -> "pb_grpc.OrchestratorServiceAsyncStub":
        return self._connection.stub(pb_grpc.OrchestratorServiceStub)


@asynccontextmanager
async def connect(address: str, settings: ConnectionSettings = PLAIN_TEXT) -> AsyncIterator[Orchestrator]:
    """Connect to the orchestrator at HOST:PORT inside a `with`; the first call finds out if it is there.

    Raises ConfigError over the settings.
    """
    async with connected(address, settings) as connection:
        yield Orchestrator(connection)
