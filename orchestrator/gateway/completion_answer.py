"""Answers of `POST /v1/completions`, in a stream and whole."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from orchestrator.gateway.answer import AnswerSettings, UsageSum, finish_reason_of
from orchestrator.gateway.choices_taken import TakenChoices
from orchestrator.gateway.event_line import PromptEvent
from orchestrator.gateway.paceline_part import chunk_part, started_part, summary_part
from orchestrator.gateway.token_texts import TokenTexts, json_logprob
from paceline.v1 import orchestrator_service_pb2 as messages

_KIND = "text_completion"


class CompletionAnswer:
    """Texts that go on from prompts."""

    def __init__(self, settings: AnswerSettings, token_texts: TokenTexts) -> None:
        self._settings = settings
        self._token_texts = token_texts
        self._taken = TakenChoices(settings)
        self._usage = UsageSum()
        self._offsets: defaultdict[int, int] = defaultdict(int)  # characters of each choice until now
        self._has_warned = not settings.warnings

    def chunks(self, event: PromptEvent) -> Iterable[dict[str, Any]]:
        """Return the objects that a stream sends for an event."""
        index, response = self._settings.index(event), event.response
        match response.WhichOneof("event"):
            case "started":
                yield self._chunk(index, started_part(response.started))
            case "chunk":
                chunk = response.chunk
                part = chunk_part(chunk, includes_tokens=self._settings.includes_tokens)
                yield self._chunk(index, part, chunk.text, logprobs=self._logprobs(index, chunk.tokens))
            case _:
                self._usage.add(event.prompt, response.summary)
                part = summary_part(response.summary)
                yield self._chunk(index, part, finish_reason=finish_reason_of(response.summary))

    def last_chunks(self) -> Iterable[dict[str, Any]]:
        """Return the objects that a stream sends when all have ended."""
        if self._settings.includes_usage:
            yield {**self._settings.head(_KIND), "choices": [], "usage": self._usage.to_json()}

    def take(self, event: PromptEvent) -> None:
        """Take an event into the whole answer."""
        self._taken.take(event)

    def whole(self) -> dict[str, Any]:
        """Return the whole answer."""
        choices = [
            {
                "index": choice.index,
                "text": choice.text,
                "logprobs": self._logprobs(choice.index, choice.tokens),
                "finish_reason": finish_reason_of(choice.summary),
                "paceline": choice.paceline,
            }
            for choice in self._taken.in_order
        ]
        return {
            **self._settings.head(_KIND),
            "choices": choices,
            "usage": self._taken.usage.to_json(),
            "paceline": self._taken.paceline(),
        }

    def _chunk(
        self,
        index: int,
        paceline: dict[str, Any],
        text: str = "",
        *,
        logprobs: dict[str, Any] | None = None,
        finish_reason: str | None = None,
    ) -> dict[str, Any]:
        if not self._has_warned:
            self._has_warned = True
            paceline["warnings"] = list(self._settings.warnings)
        choice = {"index": index, "text": text, "logprobs": logprobs, "finish_reason": finish_reason}
        chunk = {**self._settings.head(_KIND), "choices": [choice], "paceline": paceline}
        if self._settings.includes_usage:
            chunk["usage"] = None
        return chunk

    def _logprobs(self, index: int, tokens: Sequence[messages.GeneratedToken]) -> dict[str, Any] | None:
        if not self._settings.includes_logprobs:
            return None
        shown = self._token_texts.shown(tokens)
        offsets: list[int] = []
        for token in shown:
            offsets.append(self._offsets[index])
            self._offsets[index] += len(token.text)
        if not any(token.HasField("logprob") for token in shown):  # a session that goes on may have none
            return None
        return {
            "tokens": [self._token_texts.text_of(token.id) for token in shown],
            "token_logprobs": [_logprob(token) for token in shown],
            "top_logprobs": [self._alternatives(token) for token in shown],
            "text_offset": offsets,
        }

    def _alternatives(self, token: messages.GeneratedToken) -> dict[str, float] | None:
        if not token.HasField("logprob"):
            return None
        alternatives: dict[str, float] = {}
        for one in token.alternatives:  # the likelier of two that look the same
            alternatives.setdefault(self._token_texts.text_of(one.id), json_logprob(one.logprob))
        return alternatives


def _logprob(token: messages.GeneratedToken) -> float | None:
    return json_logprob(token.logprob) if token.HasField("logprob") else None
