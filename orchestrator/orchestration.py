"""What an orchestrator does for its callers, however they reach it: requests are read, admitted and run.

The gRPC servicer and the HTTP gateway are thin layers on it; the messages of OrchestratorService are its language.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from dataclasses import dataclass

from orchestrator.admission import Admission, Admitted
from orchestrator.choices import Choices
from orchestrator.closings import Closings
from orchestrator.config import OrchestratorConfig
from orchestrator.continuations import ContinuationReader
from orchestrator.departure import Departure
from orchestrator.errors import NoTargetReplicaError, SessionStoreUnavailableError
from orchestrator.event_messages import event_message
from orchestrator.generation import Generation, Surroundings
from orchestrator.generation_task import GenerationTask
from orchestrator.handover import Handover, draining_error
from orchestrator.measurements import Measurements
from orchestrator.replica_client import ReplicaDescription
from orchestrator.request_watch import RequestWatch
from orchestrator.requests import RequestReader
from orchestrator.session_slots import SessionSlots, SlotLimits
from orchestrator.tenant import Tenant
from paceline.models.tokenizer import Tokenizer
from paceline.serving.errors import StaleEpochError
from paceline.v1 import model_pb2
from paceline.v1 import orchestrator_service_pb2 as messages

# Each try takes about a millisecond, in which an owner that lives rarely commits.
_MAX_CLAIMS = 20


class Orchestration:
    """Generates for tenants; closings of generations go on in `closings` where a caller goes."""

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
        metrics = surroundings.watch.metrics
        slots = SessionSlots(_slot_limits(surroundings.config), draining, metrics.note_wait)
        metrics.observe_line(slots.num_waiting_by_tenant)
        self._admission = Admission(surroundings.quotas, slots, surroundings.watch.refusals, closings)

    def model(self, tenant: Tenant) -> messages.OrchestratorServiceGetModelResponse:
        """Return the served model, the pools behind it and a tenant's limits; raises NoTargetReplicaError."""
        target = self._target_model()
        drafts = self._surroundings.drafts.descriptions
        return messages.OrchestratorServiceGetModelResponse(
            target=target,
            draft=drafts[0].model if drafts else None,
            target_replicas=map(_replica_message, self._surroundings.targets.descriptions),
            draft_replicas=map(_replica_message, drafts),
            limits=self._limits(target, tenant),
        )

    async def generate(
        self,
        request: messages.GenerateRequest,
        tenant: Tenant,
        metadata: Iterable[tuple[str, str | bytes]] = (),
        departure: Departure | None = None,
    ) -> AsyncGenerator[messages.GenerateResponse]:
        """Generate text for a tenant, a chunk a round; raises what OrchestratorService.Generate documents.

        `metadata` are the call's headers, of which `traceparent` is read. The session is given up where the generator
        is closed or its task cancelled, and once `departure` is noted, which may be while a chunk is on its way.
        """
        received_at = time.monotonic()
        if self._draining.is_set():
            raise draining_error()
        if self._surroundings.signer.key is None:
            raise SessionStoreUnavailableError(
                "the orchestrator is starting and waits for Redis; try again soon"
            )
        with self._surroundings.watch.request(metadata, tenant.name) as watch:
            choices, admitted = await self._begin(_Call(request, tenant, received_at, watch))
            if departure is not None:
                departure.then(lambda: self._start_closing(choices, admitted))
            try:
                with self._handover.watching(choices):
                    async with aclosing(choices.events()) as events:
                        async for choice, event in events:
                            yield event_message(event, choice)
            finally:
                await self._closings.run(_close(choices, admitted))

    async def _begin(self, call: "_Call") -> tuple[Choices, Admitted]:
        """Return the choices of a request that is admitted; a session that goes on is this process' own then."""
        call.watch.model = self._target_model().name
        if not call.is_resuming:
            self._admission.check(call.tenant)
        choices = await self._read(call)
        admitted = await self._admission.admit(call.tenant, choices.session_ids, is_resumed=call.is_resuming)
        call.watch.spend = admitted.spend
        if not call.request.HasField("continuation"):
            return choices, admitted
        try:
            return await self._claimed(choices, call), admitted
        except BaseException:
            await self._closings.run(admitted.end())
            raise

    async def _claimed(self, choices: Choices, call: "_Call") -> Choices:
        """Return the choices with their session claimed; they are read anew where its owner has committed a round."""
        num_tries = 0
        while True:
            try:
                await choices.claim()
            except BaseException as error:
                await self._closings.run(choices.close())
                num_tries += 1
                if not isinstance(error, StaleEpochError) or num_tries == _MAX_CLAIMS:
                    raise
            else:
                return choices
            choices = await self._read(call)

    async def _read(self, call: "_Call") -> Choices:
        request, tenant, target = call.request, call.tenant, self._target_model()
        reader = self._continuations if request.HasField("continuation") else self._reader
        return self._choices(await reader.read(request, target, tenant), call)

    def _choices(self, task: GenerationTask, call: "_Call") -> Choices:
        surroundings, tokenizer = self._surroundings, self._tokenizer
        return Choices(
            [
                Generation(one, surroundings, tokenizer, Measurements(call.received_at), call.watch)
                for one in task.choices()
            ]
        )

    def _start_closing(self, choices: Choices, admitted: Admitted) -> None:
        self._closings.start(_close(choices, admitted))

    def _target_model(self) -> model_pb2.ModelInfo:
        descriptions = self._surroundings.targets.descriptions
        if not descriptions:
            raise NoTargetReplicaError("no target replica is ready; try again soon")
        return descriptions[0].model

    def _limits(self, target: model_pb2.ModelInfo, tenant: Tenant) -> messages.GenerationLimits:
        config, quotas = self._surroundings.config, tenant.quotas
        return messages.GenerationLimits(
            max_prompt_tokens=target.max_context_tokens - 1,
            max_tokens=quotas.capped_tokens(config.max_tokens),
            max_draft_tokens=config.max_draft_tokens,
            max_message_bytes=config.max_message_bytes,
            max_sessions=config.max_sessions,
            max_choices=quotas.capped_choices(config.max_choices),
        )


@dataclass(frozen=True)
class _Call:
    """A call of Generate."""

    request: messages.GenerateRequest
    tenant: Tenant
    received_at: float
    watch: RequestWatch

    @property
    def is_resuming(self) -> bool:
        """Whether it goes on with what was admitted before."""
        return self.request.continuation.mode == messages.CONTINUATION_MODE_RESUME


async def _close(choices: Choices, admitted: Admitted) -> None:
    await asyncio.gather(admitted.end(), choices.close())


def _slot_limits(config: OrchestratorConfig) -> SlotLimits:
    return SlotLimits(config.max_sessions, config.max_waiting_requests, config.waiting_seconds)


def _replica_message(description: ReplicaDescription) -> model_pb2.ReplicaInfo:
    owner = description.owner
    return model_pb2.ReplicaInfo(
        replica_id=owner.replica_id,
        incarnation=owner.incarnation,
        version=description.version.to_message(),
    )
