"""A request on the wire to a task that can be served, or the refusal that says what to change."""

import asyncio
import math
import secrets
from collections.abc import Sequence

from orchestrator.config import OrchestratorConfig
from orchestrator.errors import EmptyPromptError, ModelNotServedError, PromptTooLongError
from orchestrator.generation_task import GenerationTask
from orchestrator.stopping import StopRules
from paceline.engine.errors import TokenOutOfVocabularyError
from paceline.errors import InvalidRequestError
from paceline.models.chat_message import ChatMessage
from paceline.models.tokenizer import Tokenizer
from paceline.sampling.parameters import SamplingParameters
from paceline.v1 import model_pb2
from paceline.v1 import orchestrator_service_pb2 as messages

DEFAULT_MAX_TOKENS = 256
_SEED_BITS = 64


class RequestReader:
    """Checks and tokenizes requests; a long prompt is tokenized in a thread."""

    def __init__(self, tokenizer: Tokenizer, config: OrchestratorConfig) -> None:
        self._tokenizer = tokenizer
        self._config = config
        self._max_bytes_per_token = max(
            (len(tokenizer.text_of(token_id).encode()) for token_id in range(tokenizer.num_tokens)), default=1
        )

    async def read(self, request: messages.GenerateRequest, target: model_pb2.ModelInfo) -> GenerationTask:
        """Return the task of a request for the target's model.

        Raises InvalidRequestError or one of its kind, ModelNotServedError, TokenOutOfVocabularyError or
        ChatTemplateError.
        """
        if request.model and request.model != target.name:
            raise ModelNotServedError(request.model, target.name)
        sampling = _sampling(request.sampling)
        num_draft_tokens = self._num_draft_tokens(request.speculation)
        max_tokens = self._max_tokens(request)
        prompt_ids = await self._prompt_ids(request, target)
        return GenerationTask(
            target.name,
            prompt_ids,
            self._stop_rules(request, target, len(prompt_ids), max_tokens),
            num_draft_tokens,
            sampling,
            target.vocabulary_size,
        )

    def _stop_rules(
        self,
        request: messages.GenerateRequest,
        target: model_pb2.ModelInfo,
        num_prompt_tokens: int,
        max_tokens: int,
    ) -> StopRules:
        eos_ids = () if request.ignore_eos else self._tokenizer.eos_ids
        return StopRules(num_prompt_tokens, max_tokens, target.max_context_tokens, frozenset(eos_ids))

    def _max_tokens(self, request: messages.GenerateRequest) -> int:
        if not request.HasField("max_tokens"):
            return min(DEFAULT_MAX_TOKENS, self._config.max_tokens)
        _check_range("max_tokens", request.max_tokens, self._config.max_tokens)
        return request.max_tokens

    def _num_draft_tokens(self, speculation: messages.Speculation) -> int:
        if speculation.HasField("num_draft_tokens"):
            _check_range(
                "speculation.num_draft_tokens", speculation.num_draft_tokens, self._config.max_draft_tokens
            )
        wanted = speculation.num_draft_tokens or self._config.num_draft_tokens
        match speculation.mode:
            case messages.SPECULATION_MODE_OFF:
                return 0
            case messages.SPECULATION_MODE_FIXED:
                return wanted
            case messages.SPECULATION_MODE_UNSPECIFIED:
                return wanted if self._config.speculation == "fixed" else 0
            case unknown:
                message = f"speculation.mode is {unknown}, which this version does not know; use OFF or FIXED"
                raise InvalidRequestError(message, field="speculation.mode")

    async def _prompt_ids(
        self, request: messages.GenerateRequest, target: model_pb2.ModelInfo
    ) -> tuple[int, ...]:
        max_prompt_tokens = target.max_context_tokens - 1
        match request.WhichOneof("input"):
            case "prompt":
                self._check_num_bytes((request.prompt,), max_prompt_tokens)
                ids = await asyncio.to_thread(
                    self._tokenizer.encode_prompt, request.prompt, parse_special=False
                )
            case "chat":
                ids = await self._chat_ids(request.chat, max_prompt_tokens)
            case "token_ids":
                ids = request.token_ids.ids
                _check_vocabulary(ids, target.vocabulary_size)
            case _:
                raise InvalidRequestError(
                    "no input is set; send a prompt, a chat or token_ids", field="input"
                )
        if not ids:
            raise EmptyPromptError
        if len(ids) > max_prompt_tokens:
            raise _too_long(f"{len(ids)} tokens", max_prompt_tokens)
        return tuple(ids)

    async def _chat_ids(self, chat: messages.ChatInput, max_prompt_tokens: int) -> list[int]:
        turns = [ChatMessage(one.role, one.content) for one in chat.messages]
        if not turns:
            raise EmptyPromptError
        self._check_num_bytes([turn.content for turn in turns], max_prompt_tokens)
        return await asyncio.to_thread(self._tokenizer.encode_chat, turns)

    def _check_num_bytes(self, texts: Sequence[str], max_prompt_tokens: int) -> None:
        """Refuse what no tokenization can make short enough, before the work of tokenizing it."""
        num_bytes = sum(len(text.encode()) for text in texts)
        if num_bytes > max_prompt_tokens * self._max_bytes_per_token:
            raise _too_long(f"{num_bytes} bytes", max_prompt_tokens)


def _sampling(sampling: messages.GenerationSampling) -> SamplingParameters:
    if sampling.temperature != 0 or math.isnan(sampling.temperature):
        raise InvalidRequestError(
            f"sampling.temperature is {sampling.temperature:g} and only 0, greedy decoding, is served yet; "
            "leave it out",
            field="sampling.temperature",
        )
    seed = sampling.seed if sampling.HasField("seed") else secrets.randbits(_SEED_BITS)
    return SamplingParameters(0.0, seed)


def _check_range(field: str, value: int, maximum: int) -> None:
    if not 1 <= value <= maximum:
        message = f"{field} is {value} and must be from 1 to {maximum}"
        raise InvalidRequestError(message, field=field, value=value, minimum=1, maximum=maximum)


def _check_vocabulary(ids: Sequence[int], vocabulary_size: int) -> None:
    highest = max(ids, default=0)
    if highest >= vocabulary_size:
        raise TokenOutOfVocabularyError(
            f"token id {highest} is not in the vocabulary of {vocabulary_size} ids; "
            "encode with the tokenizer of the served model",
            token_id=highest,
            vocabulary_size=vocabulary_size,
        )


def _too_long(what: str, max_prompt_tokens: int) -> PromptTooLongError:
    return PromptTooLongError(
        f"the prompt has {what} and at most {max_prompt_tokens} tokens fit; shorten it",
        max_prompt_tokens=max_prompt_tokens,
    )
