"""Answers of `POST /v1/chat/completions`, in a stream and whole."""

from collections.abc import Iterable, Sequence
from typing import Any

from orchestrator.gateway.answer import AnswerSettings, WholeChoice, finish_reason_of
from orchestrator.gateway.called_tools import CalledTools, Piece
from orchestrator.gateway.choice_answer import ChoiceAnswer
from orchestrator.gateway.event_line import PromptEvent
from orchestrator.gateway.paceline_part import chunk_part, started_part, summary_part
from orchestrator.gateway.token_texts import TokenTexts
from orchestrator.gateway.tool_wish import ToolPlan
from paceline.v1 import orchestrator_service_pb2 as messages


class ChatAnswer(ChoiceAnswer):
    """The assistant's next message."""

    def __init__(self, settings: AnswerSettings, token_texts: TokenTexts, plan: ToolPlan | None) -> None:
        super().__init__(settings, token_texts, "chat.completion.chunk", "chat.completion")
        self._plan = plan
        self._texts: dict[int, CalledTools] = {}  # of the choices of a stream

    def chunks(self, event: PromptEvent) -> Iterable[dict[str, Any]]:
        """Return the objects that a stream sends for an event."""
        index, response = self._settings.index(event), event.response
        match response.WhichOneof("event"):
            case "started":
                self._texts[index] = CalledTools(self._plan)
                delta = {"role": "assistant", "content": ""}
                yield self._chunk(_choice(index, delta), started_part(response.started))
            case "chunk":
                chunk = response.chunk
                part = chunk_part(chunk, includes_tokens=self._settings.includes_tokens)
                text = self._texts[index]
                delta = _delta(text.push(chunk.text))
                if text.is_holding:  # who went on from here would never get what is held back
                    part.pop("rollback_token", None)
                yield self._chunk(_choice(index, delta, logprobs=self._logprobs(chunk.tokens)), part)
            case _:
                self._usage.add(event.prompt, response.summary)
                text = self._texts[index]
                delta = _delta(text.finish()) if self._plan is not None else {}
                choice = _choice(index, delta, finish_reason=_finish_reason(response.summary, text))
                yield self._chunk(choice, summary_part(response.summary))

    def _whole_choice(self, choice: WholeChoice) -> dict[str, Any]:
        text = CalledTools(self._plan)
        pieces = (text.push(choice.text), text.finish())
        content = "".join(piece.content for piece in pieces)
        message: dict[str, Any] = {"role": "assistant", "content": content, "refusal": None}
        if text.has_called:
            message["content"] = content or None
            message["tool_calls"] = [_without_index(call) for piece in pieces for call in piece.calls]
        return {
            "index": choice.index,
            "message": message,
            "logprobs": self._logprobs(choice.tokens),
            "finish_reason": _finish_reason(choice.summary, text),
            "paceline": choice.paceline,
        }

    def _logprobs(self, tokens: Sequence[messages.GeneratedToken]) -> dict[str, Any] | None:
        if not self._settings.includes_logprobs:
            return None
        shown = [token for token in self._token_texts.shown(tokens) if token.HasField("logprob")]
        if not shown:  # a session that goes on may have none
            return None
        return {"content": [self._token_texts.chat_row(token) for token in shown], "refusal": None}


def _choice(
    index: int,
    delta: dict[str, Any],
    *,
    logprobs: dict[str, Any] | None = None,
    finish_reason: str | None = None,
) -> dict[str, Any]:
    return {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish_reason}


def _delta(piece: Piece) -> dict[str, Any]:
    delta: dict[str, Any] = {"content": piece.content}
    if piece.calls:
        delta = {"tool_calls": list(piece.calls), **({"content": piece.content} if piece.content else {})}
    return delta


def _finish_reason(summary: messages.GenerationSummary, text: CalledTools) -> str:
    reason = finish_reason_of(summary)
    return "tool_calls" if reason == "stop" and text.has_called else reason


def _without_index(call: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in call.items() if name != "index"}
