"""A request on the wire to a task that can be served, or the refusal that says what to change."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from orchestrator.config import OrchestratorConfig
from orchestrator.errors import EmptyPromptError, ModelNotServedError, PromptTooLongError
from orchestrator.generation_task import GenerationTask, SpeculationPlan
from orchestrator.sampling_requests import check_stop, sampling_of
from orchestrator.start import Start
from orchestrator.stopping import StopRules
from orchestrator.tenant import ANYBODY, Tenant
from orchestrator.transcript import StopTexts
from paceline.client.generation import Drafter, SpeculationMode
from paceline.errors import InvalidRequestError
from paceline.models.chat_message import ChatMessage
from paceline.models.tokenizer import Tokenizer
from paceline.sampling.parameters import SamplingParameters
from paceline.sampling.structure import StructureCompiler
from paceline.serving.session_point import check_ids
from paceline.v1 import model_pb2
from paceline.v1 import orchestrator_service_pb2 as messages

DEFAULT_MAX_TOKENS = 256
_MODES = {
    messages.SPECULATION_MODE_OFF: SpeculationMode.OFF,
    messages.SPECULATION_MODE_FIXED: SpeculationMode.FIXED,
    messages.SPECULATION_MODE_ADAPTIVE: SpeculationMode.ADAPTIVE,
}
_DRAFTERS = {
    messages.DRAFTER_MODEL: Drafter.MODEL,
    messages.DRAFTER_PROMPT_LOOKUP: Drafter.PROMPT_LOOKUP,
    messages.DRAFTER_NONE: Drafter.NONE,
}

K = TypeVar("K")


class RequestReader:
    """Checks and tokenizes requests; a long prompt is tokenized in a thread."""

    def __init__(self, tokenizer: Tokenizer, config: OrchestratorConfig) -> None:
        self._tokenizer = tokenizer
        self._config = config
        self._structures: StructureCompiler | None = None  # made when a structure comes first
        self._max_bytes_per_token = max(
            (len(tokenizer.text_of(token_id).encode()) for token_id in range(tokenizer.num_tokens)), default=1
        )

    async def read(
        self, request: messages.GenerateRequest, target: model_pb2.ModelInfo, tenant: Tenant = ANYBODY
    ) -> GenerationTask:
        """Return the task of a tenant's request for the target's model.

        Raises InvalidRequestError or one of its kind, ModelNotServedError, TokenOutOfVocabularyError or
        ChatTemplateError.
        """
        if request.model and request.model != target.name:
            raise ModelNotServedError(request.model, target.name)
        end_ids = self.end_ids(request, target)
        sampling = self.sampling(request, end_ids, target)
        speculation = self.speculation(request)
        max_tokens = self.max_tokens(request, tenant)
        num_choices = self.num_choices(request, tenant)
        prompt_ids = await self.input_ids(request, target)
        if not prompt_ids:
            raise EmptyPromptError
        await self.check_structure(sampling, target)
        check_min_tokens(sampling, max_tokens)
        return GenerationTask(
            target.name,
            prompt_ids,
            Start(prompt_ids, 0 if request.echo else len(prompt_ids)),
            StopRules(len(prompt_ids), max_tokens, target.max_context_tokens, end_ids),
            stop_texts_of(request, sampling),
            speculation,
            replace(sampling, num_prompt_tokens=len(prompt_ids)),
            target.vocabulary_size,
            num_choices,
            request.echo,
            tenant.name,
            len(prompt_ids),
            await self.prediction_ids(request, target),
        )

    def end_ids(self, request: messages.GenerateRequest, target: model_pb2.ModelInfo) -> frozenset[int]:
        """Return the ids that end the text."""
        check_stop(request.stop, target.vocabulary_size)
        return frozenset(() if request.ignore_eos else self._tokenizer.eos_ids) | set(request.stop.ids)

    def sampling(
        self, request: messages.GenerateRequest, end_ids: Iterable[int], target: model_pb2.ModelInfo
    ) -> SamplingParameters:
        """Return how ids are chosen; the length of the prompt is not known yet."""
        return sampling_of(request.sampling, end_ids, self._config, target.vocabulary_size)

    async def check_structure(self, sampling: SamplingParameters, target: model_pb2.ModelInfo) -> None:
        """Refuse a structure that the replicas could not compile, before one of them is asked."""
        if sampling.structure is not None:
            structures = self._structures or StructureCompiler(self._tokenizer, target.vocabulary_size)
            self._structures = structures
            await asyncio.to_thread(structures.compile, sampling.structure)

    def num_choices(self, request: messages.GenerateRequest, tenant: Tenant) -> int:
        """Return how many answers are wanted."""
        if not request.HasField("num_choices"):
            return 1
        limit = tenant.quotas.capped_choices(self._config.max_choices)
        _check_range("num_choices", request.num_choices, limit)
        return request.num_choices

    def max_tokens(self, request: messages.GenerateRequest, tenant: Tenant) -> int:
        """Return the most tokens to generate."""
        limit = tenant.quotas.capped_tokens(self._config.max_tokens)
        if not request.HasField("max_tokens"):
            return min(DEFAULT_MAX_TOKENS, limit)
        _check_range("max_tokens", request.max_tokens, limit)
        return request.max_tokens

    def speculation(self, request: messages.GenerateRequest) -> SpeculationPlan:
        """Return where draft tokens come from and how many."""
        speculation = request.speculation
        if speculation.HasField("num_draft_tokens"):
            _check_range(
                "speculation.num_draft_tokens", speculation.num_draft_tokens, self._config.max_draft_tokens
            )
        config = self._config
        modes: dict[int, SpeculationMode] = {
            messages.SPECULATION_MODE_UNSPECIFIED: SpeculationMode(config.speculation),
            **_MODES,
        }
        drafters: dict[int, Drafter] = {messages.DRAFTER_UNSPECIFIED: Drafter(config.drafter), **_DRAFTERS}
        mode = _known("speculation.mode", speculation.mode, modes)
        is_adaptive = mode is SpeculationMode.ADAPTIVE
        return SpeculationPlan.of(
            mode,
            _known("speculation.drafter", speculation.drafter, drafters),
            speculation.num_draft_tokens
            or (config.num_adaptive_draft_tokens if is_adaptive else config.num_draft_tokens),
        )

    async def input_ids(
        self, request: messages.GenerateRequest, target: model_pb2.ModelInfo, *, begins_text: bool = True
    ) -> tuple[int, ...]:
        """Return the ids of the input; a raw prompt that begins no text gets no token of the start of text."""
        max_prompt_tokens = target.max_context_tokens - 1
        match request.WhichOneof("input"):
            case "prompt":
                self._check_num_bytes("prompt", (request.prompt,), max_prompt_tokens)
                encode = self._tokenizer.encode_prompt if begins_text else self._tokenizer.encode
                ids = await asyncio.to_thread(encode, request.prompt, parse_special=False)
            case "chat":
                ids = await self._chat_ids(request.chat, max_prompt_tokens)
            case "token_ids":
                ids = request.token_ids.ids
                check_ids(ids, target.vocabulary_size)
            case _:
                raise InvalidRequestError(
                    "no input is set; send a prompt, a chat or token_ids", field="input"
                )
        check_prompt_length(len(ids), target)
        return tuple(ids)

    async def prediction_ids(
        self, request: messages.GenerateRequest, target: model_pb2.ModelInfo
    ) -> tuple[int, ...]:
        """Return the ids of the predicted output, which may be as long as a prompt; none where there is none."""
        if not request.prediction:
            return ()
        max_tokens = target.max_context_tokens - 1
        self._check_num_bytes("prediction", (request.prediction,), max_tokens)
        ids = await asyncio.to_thread(self._tokenizer.encode, request.prediction, parse_special=False)
        if len(ids) > max_tokens:
            raise _too_long("prediction", f"{len(ids)} tokens", max_tokens)
        return tuple(ids)

    async def _chat_ids(self, chat: messages.ChatInput, max_prompt_tokens: int) -> list[int]:
        if len(chat.messages) > max_prompt_tokens:  # each comes to a token at least
            raise _too_long("prompt", f"{len(chat.messages)} messages", max_prompt_tokens)
        turns = [
            ChatMessage(one.role, one.content, one.tool_calls_json, one.tool_call_id, one.name)
            for one in chat.messages
        ]
        if not turns:
            raise EmptyPromptError
        texts = [
            text
            for turn in turns
            for text in (turn.role, turn.content, turn.tool_calls_json, turn.tool_call_id, turn.name)
        ]
        self._check_num_bytes("prompt", (chat.tools_json, *texts), max_prompt_tokens)
        return await asyncio.to_thread(self._tokenizer.encode_chat, turns, tools_json=chat.tools_json)

    def _check_num_bytes(self, what: str, texts: Sequence[str], max_prompt_tokens: int) -> None:
        """Refuse what no tokenization can make short enough, before the work of tokenizing it."""
        num_bytes = sum(len(text.encode()) for text in texts)
        if num_bytes > max_prompt_tokens * self._max_bytes_per_token:
            raise _too_long(what, f"{num_bytes} bytes", max_prompt_tokens)


def stop_texts_of(request: messages.GenerateRequest, sampling: SamplingParameters) -> StopTexts:
    """Return the texts that end a generation."""
    return StopTexts(tuple(request.stop.texts), sampling.min_tokens, request.stop.include_text)


def check_min_tokens(sampling: SamplingParameters, max_tokens: int) -> None:
    """Raise InvalidRequestError where fewer tokens may be generated than must be."""
    if sampling.min_tokens > max_tokens:
        raise InvalidRequestError(
            f"sampling.min_tokens is {sampling.min_tokens} and max_tokens only {max_tokens}; "
            "lower the one or raise the other",
            field="sampling.min_tokens",
            value=sampling.min_tokens,
            maximum=max_tokens,
        )


def check_prompt_length(num_tokens: int, target: model_pb2.ModelInfo) -> None:
    """Raise PromptTooLongError where nothing could be generated behind so many tokens."""
    if num_tokens > target.max_context_tokens - 1:
        raise _too_long("prompt", f"{num_tokens} tokens", target.max_context_tokens - 1)


def _known(field: str, value: int, known: Mapping[int, K]) -> K:
    if value not in known:
        message = f"{field} is {value}, which this version does not know"
        raise InvalidRequestError(message, field=field, value=value)
    return known[value]


def _check_range(field: str, value: int, maximum: int) -> None:
    if not 1 <= value <= maximum:
        message = f"{field} is {value} and must be from 1 to {maximum}"
        raise InvalidRequestError(message, field=field, value=value, minimum=1, maximum=maximum)


def _too_long(what: str, size: str, max_prompt_tokens: int) -> PromptTooLongError:
    return PromptTooLongError(
        f"the {what} has {size} and at most {max_prompt_tokens} tokens fit; shorten it",
        max_prompt_tokens=max_prompt_tokens,
    )
