"""The two endpoints that generate."""

import secrets
import time
from collections.abc import AsyncGenerator, Iterable, Sequence
from typing import Protocol

from starlette.requests import Request
from starlette.types import ASGIApp

from orchestrator.gateway.answer import AnswerSettings
from orchestrator.gateway.answering import StreamedAnswer, WholeAnswer
from orchestrator.gateway.body_bytes import BodyRoom, json_bytes
from orchestrator.gateway.body_reading import read_body
from orchestrator.gateway.chat_answer import ChatAnswer
from orchestrator.gateway.chat_body import ChatBody
from orchestrator.gateway.chat_wish import chat_request
from orchestrator.gateway.choice_answer import ChoiceAnswer
from orchestrator.gateway.completion_answer import CompletionAnswer
from orchestrator.gateway.completion_body import CompletionBody
from orchestrator.gateway.completion_wish import completion_requests
from orchestrator.gateway.generation_body import GenerationBody
from orchestrator.gateway.http_watch import call_of
from orchestrator.gateway.parameters import Endpoint
from orchestrator.gateway.served_model import check_name, fingerprint
from orchestrator.gateway.token_texts import TokenTexts
from orchestrator.gateway.tool_wish import tool_plan
from orchestrator.tenant import Tenant
from paceline.models.tokenizer import Tokenizer
from paceline.v1 import orchestrator_service_pb2 as messages

WARNINGS_HEADER = "x-paceline-warnings"
_ID_BYTES = 15
# Bodies of the longest kind that are read side by side; many more of the usual ones.
_BODIES_AT_ONCE = 16


class Core(Protocol):
    """What generates; `orchestrator.orchestration.Orchestration` does."""

    def model(self, tenant: Tenant) -> messages.OrchestratorServiceGetModelResponse:
        """Return the served model and a tenant's limits; raises NoTargetReplicaError."""
        ...

    def generate(
        self,
        request: messages.GenerateRequest,
        tenant: Tenant,
        metadata: Iterable[tuple[str, str | bytes]] = (),
    ) -> AsyncGenerator[messages.GenerateResponse]:
        """Generate text; raises what OrchestratorService.Generate documents."""
        ...


class Generating:
    """Reads requests and starts their generations.

    Attributes:
        max_body_bytes: Longer bodies are refused.
        patience_seconds: Slower ones too.
        keep_alive_seconds: Silences of a stream that are broken by a comment.
    """

    def __init__(
        self,
        core: Core,
        tokenizer: Tokenizer,
        *,
        max_body_bytes: int,
        patience_seconds: float,
        keep_alive_seconds: float,
    ) -> None:
        self._core = core
        self._token_texts = TokenTexts(tokenizer)
        self._tokenizer = tokenizer
        self._max_body_bytes = max_body_bytes
        self._room = BodyRoom(_BODIES_AT_ONCE * max_body_bytes)
        self._patience_seconds = patience_seconds
        self._keep_alive_seconds = keep_alive_seconds

    async def chat(self, request: Request, tenant: Tenant) -> ASGIApp:
        """Answer `POST /v1/chat/completions`."""
        body, warnings = read_body(await self._content(request), ChatBody, Endpoint.CHAT)
        model = self._model(body, tenant)
        plan = tool_plan(body, self._tokenizer)
        wish = chat_request(body, model.limits, plan)
        settings = _settings("chatcmpl", body, model, warnings, wants_logprobs=bool(body.logprobs))
        answer = ChatAnswer(settings, self._token_texts, plan)
        return self._answering(request, tenant, body, answer, [wish], warnings)

    async def completions(self, request: Request, tenant: Tenant) -> ASGIApp:
        """Answer `POST /v1/completions`."""
        body, warnings = read_body(await self._content(request), CompletionBody, Endpoint.COMPLETIONS)
        model = self._model(body, tenant)
        wishes = completion_requests(body, model.limits)
        settings = _settings("cmpl", body, model, warnings, wants_logprobs=body.logprobs is not None)
        answer = CompletionAnswer(settings, self._token_texts)
        return self._answering(request, tenant, body, answer, wishes, warnings)

    async def _content(self, request: Request) -> bytes:
        return await json_bytes(request, self._max_body_bytes, self._patience_seconds, self._room)

    def _model(self, body: GenerationBody, tenant: Tenant) -> messages.OrchestratorServiceGetModelResponse:
        model = self._core.model(tenant)
        if body.model:
            check_name(body.model, model.target)
        return model

    def _answering(
        self,
        request: Request,
        tenant: Tenant,
        body: GenerationBody,
        answer: ChoiceAnswer,
        wishes: Sequence[messages.GenerateRequest],
        warnings: Sequence[str],
    ) -> ASGIApp:
        metadata = call_of(request.scope).metadata
        generations = [self._core.generate(wish, tenant, metadata) for wish in wishes]
        headers = {WARNINGS_HEADER: "; ".join(warnings)} if warnings else {}
        if body.stream:
            return StreamedAnswer(answer, generations, headers, self._keep_alive_seconds)
        return WholeAnswer(answer, generations, headers)


def _settings(
    prefix: str,
    body: GenerationBody,
    model: messages.OrchestratorServiceGetModelResponse,
    warnings: tuple[str, ...],
    *,
    wants_logprobs: bool,
) -> AnswerSettings:
    return AnswerSettings(
        f"{prefix}-{secrets.token_urlsafe(_ID_BYTES)}",
        int(time.time()),
        model.target.name,
        fingerprint(model.target),
        num_choices=body.n or 1,
        includes_usage=body.includes_usage,
        includes_tokens=body.includes_tokens,
        # A session that goes on may have been told to report them.
        includes_logprobs=wants_logprobs or body.continuation is not None,
        warnings=warnings,
    )
