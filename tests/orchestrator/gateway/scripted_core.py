"""A core that writes what a test wants, a piece a round, for what replicas of random bytes cannot show."""

import asyncio
import codecs
from collections.abc import AsyncGenerator, Iterable, Sequence

from orchestrator.tenant import Tenant
from paceline.v1 import model_pb2
from paceline.v1 import orchestrator_service_pb2 as messages
from tests.orchestrator.byte_tokenizer import CHAT_TEMPLATE

# Longer pieces are about their bytes.
_MAX_TOKENS = 256
# Teaches calls as Qwen's template does.
TOOL_TEMPLATE = (
    CHAT_TEMPLATE + "{% if tools %}<tool_call>{{ tools | tojson }} arguments</tool_call>{% endif %}"
)


class ScriptedCore:
    """Answers every request with the same pieces of text; `requests` are those that came.

    It waits before the piece `pause_before` until `go_on` is set, and raises `error` behind the last piece.
    """

    def __init__(
        self,
        *pieces: str,
        error: Exception | None = None,
        pause_before: int | None = None,
        finish_reason: "messages.FinishReason.ValueType" = messages.FINISH_REASON_STOP,
    ) -> None:
        self.requests: list[messages.GenerateRequest] = []
        self.metadata: list[tuple[tuple[str, str | bytes], ...]] = []
        self.go_on = asyncio.Event()
        self.num_closed = 0
        self.num_written = 0
        self._pieces: Sequence[str] = pieces
        self._error = error
        self._pause_before = pause_before
        self._finish_reason = finish_reason

    def model(self, tenant: Tenant) -> messages.OrchestratorServiceGetModelResponse:
        return messages.OrchestratorServiceGetModelResponse(
            target=model_pb2.ModelInfo(name="scripted", vocabulary_size=264, max_context_tokens=4096),
            limits=messages.GenerationLimits(max_tokens=4096, max_choices=16, max_prompt_tokens=4095),
        )

    async def generate(
        self,
        request: messages.GenerateRequest,
        tenant: Tenant,
        metadata: Iterable[tuple[str, str | bytes]] = (),
    ) -> AsyncGenerator[messages.GenerateResponse]:
        self.requests.append(request)
        self.metadata.append(tuple(metadata))
        try:
            for number, piece in enumerate(self._pieces):
                if number == self._pause_before:
                    await self.go_on.wait()
                if number == 0:
                    yield _started()
                yield _chunk(piece, number)
                self.num_written += 1
            if self._error is not None:
                raise self._error
            yield messages.GenerateResponse(
                summary=messages.GenerationSummary(
                    finish_reason=self._finish_reason,
                    usage=messages.Usage(num_prompt_tokens=3, num_completion_tokens=len(self._pieces)),
                )
            )
        finally:
            self.num_closed += 1


def _started() -> messages.GenerateResponse:
    started = messages.GenerationStarted(
        session_id="abc", num_prompt_tokens=3, model="scripted", seed=7, position=3, rollback_token="token-3"
    )
    return messages.GenerateResponse(started=started)


def _chunk(text: str, number: int) -> messages.GenerateResponse:
    response = messages.GenerateResponse()
    response.chunk.text = text
    response.chunk.round = number
    response.chunk.rollback_token = f"token-{4 + number}"
    decoder = codecs.getincrementaldecoder("utf-8")()
    for byte in text.encode()[:_MAX_TOKENS]:
        completed = decoder.decode(bytes([byte]))
        token = response.chunk.tokens.add(id=byte, text=completed, origin=messages.TOKEN_ORIGIN_ACCEPTED)
        token.logprob = -0.5
    return response
