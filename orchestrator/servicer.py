"""OrchestratorService on the wire: messages in and out, everything else elsewhere."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

import grpc.aio

from orchestrator.choices import Choices
from orchestrator.closings import Closings
from orchestrator.continuations import ContinuationReader
from orchestrator.errors import NoTargetReplicaError, SessionStoreUnavailableError
from orchestrator.event_messages import event_message
from orchestrator.generation import Generation, Surroundings
from orchestrator.generation_task import GenerationTask
from orchestrator.handover import Handover, draining_error
from orchestrator.measurements import Measurements
from orchestrator.replica_client import ReplicaDescription
from orchestrator.request_watch import RequestWatch
from orchestrator.requests import RequestReader
from orchestrator.session_slots import Places, SessionSlots
from paceline.models.tokenizer import Tokenizer
from paceline.serving.errors import StaleEpochError
from paceline.v1 import model_pb2, orchestrator_service_pb2_grpc
from paceline.v1 import orchestrator_service_pb2 as messages

# Each try takes about a millisecond, in which an owner that lives rarely commits.
_MAX_CLAIMS = 20


class OrchestratorServicer(orchestrator_service_pb2_grpc.OrchestratorServiceServicer):
    """Serves OrchestratorService; closings of generations go on in `closings` where a call is cancelled."""

    def __init__(
        self, surroundings: Surroundings, tokenizer: Tokenizer, draining: asyncio.Event, closings: Closings
    ) -> None:
        self._surroundings = surroundings
        self._tokenizer = tokenizer
        self._draining = draining
        self._closings = closings
        self._reader = RequestReader(tokenizer, surroundings.config)
        self._continuations = ContinuationReader(
            self._reader, tokenizer, surroundings.store, surroundings.signer
        )
        self._handover = Handover(draining, surroundings.config.handover_seconds)
        self._slots = SessionSlots(surroundings.config.max_sessions)

    async def GetModel(
        self, request: messages.OrchestratorServiceGetModelRequest, context: grpc.aio.ServicerContext
    ) -> messages.OrchestratorServiceGetModelResponse:
        """Describe the served model and the pools behind it."""
        target = self._target_model()
        drafts = self._surroundings.drafts.descriptions
        return messages.OrchestratorServiceGetModelResponse(
            target=target,
            draft=drafts[0].model if drafts else None,
            target_replicas=map(_replica_message, self._surroundings.targets.descriptions),
            draft_replicas=map(_replica_message, drafts),
            limits=self._limits(target),
        )

    async def Generate(
        self, request: messages.GenerateRequest, context: grpc.aio.ServicerContext
    ) -> AsyncIterator[messages.GenerateResponse]:
        """Generate text, a chunk a round."""
        received_at = time.monotonic()
        if self._draining.is_set():
            raise draining_error()
        if self._surroundings.signer.key is None:
            raise SessionStoreUnavailableError(
                "the orchestrator is starting and waits for Redis; try again soon"
            )
        with self._surroundings.watch.request(context.invocation_metadata() or ()) as watch:
            async with aclosing(self._responses(request, context, received_at, watch)) as responses:
                async for response in responses:
                    yield response

    async def _responses(
        self,
        request: messages.GenerateRequest,
        context: grpc.aio.ServicerContext,
        received_at: float,
        watch: RequestWatch,
    ) -> AsyncGenerator[messages.GenerateResponse]:
        choices, places = await self._begin(request, received_at, watch)
        # A client that vanishes while a chunk is on its way to it does not wake this generator at once.
        context.add_done_callback(lambda _: self._start_closing(choices, places))  # pyright: ignore[reportArgumentType]
        try:
            with self._handover.watching(choices):
                async with aclosing(choices.events()) as events:
                    async for choice, event in events:
                        yield event_message(event, choice)
        finally:
            await self._closings.run(_close(choices, places))

    async def _begin(
        self, request: messages.GenerateRequest, received_at: float, watch: RequestWatch
    ) -> tuple[Choices, Places]:
        """Return the choices of a request; a session that goes on is this process' own then."""
        watch.model = self._target_model().name
        if not request.HasField("continuation"):
            return self._choices(await self._reader.read(request, self._target_model()), received_at, watch)
        num_tries = 0
        while True:
            choices, places = self._choices(
                await self._continuations.read(request, self._target_model()), received_at, watch
            )
            try:
                await choices.claim()
            except BaseException as error:
                await self._closings.run(_close(choices, places))
                num_tries += 1
                # Its owner has committed a round since it was read.
                if not isinstance(error, StaleEpochError) or num_tries == _MAX_CLAIMS:
                    raise
            else:
                return choices, places

    def _choices(
        self, task: GenerationTask, received_at: float, watch: RequestWatch
    ) -> tuple[Choices, Places]:
        places = self._slots.take(task.num_choices)
        surroundings, tokenizer = self._surroundings, self._tokenizer
        generations = [
            Generation(one, surroundings, tokenizer, Measurements(received_at), watch)
            for one in task.choices()
        ]
        return Choices(generations), places

    def _start_closing(self, choices: Choices, places: Places) -> None:
        self._closings.start(_close(choices, places))

    def _target_model(self) -> model_pb2.ModelInfo:
        descriptions = self._surroundings.targets.descriptions
        if not descriptions:
            raise NoTargetReplicaError("no target replica is ready; try again soon")
        return descriptions[0].model

    def _limits(self, target: model_pb2.ModelInfo) -> messages.GenerationLimits:
        config = self._surroundings.config
        return messages.GenerationLimits(
            max_prompt_tokens=target.max_context_tokens - 1,
            max_tokens=config.max_tokens,
            max_draft_tokens=config.max_draft_tokens,
            max_message_bytes=config.max_message_bytes,
            max_sessions=config.max_sessions,
            max_choices=config.max_choices,
        )


async def _close(choices: Choices, places: Places) -> None:
    places.give_back()
    await choices.close()


def _replica_message(description: ReplicaDescription) -> model_pb2.ReplicaInfo:
    owner = description.owner
    return model_pb2.ReplicaInfo(replica_id=owner.replica_id, incarnation=owner.incarnation)
