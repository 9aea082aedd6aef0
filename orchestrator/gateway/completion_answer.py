"""Answers of `POST /v1/completions`, in a stream and whole."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from orchestrator.gateway.answer import AnswerSettings, WholeChoice, finish_reason_of
from orchestrator.gateway.choice_answer import ChoiceAnswer
from orchestrator.gateway.event_line import PromptEvent
from orchestrator.gateway.paceline_part import chunk_part, started_part, summary_part
from orchestrator.gateway.token_texts import TokenTexts, json_logprob
from paceline.v1 import orchestrator_service_pb2 as messages

_KIND = "text_completion"


class CompletionAnswer(ChoiceAnswer):
    """Texts that go on from prompts."""

    def __init__(self, settings: AnswerSettings, token_texts: TokenTexts) -> None:
        super().__init__(settings, token_texts, _KIND, _KIND)
        self._offsets: defaultdict[int, int] = defaultdict(int)  # characters of each choice until now

    def chunks(self, event: PromptEvent) -> Iterable[dict[str, Any]]:
        """Return the objects that a stream sends for an event."""
        index, response = self._settings.index(event), event.response
        match response.WhichOneof("event"):
            case "started":
                yield self._chunk(_choice(index), started_part(response.started))
            case "chunk":
                chunk = response.chunk
                part = chunk_part(chunk, includes_tokens=self._settings.includes_tokens)
                logprobs = self._logprobs(index, chunk.tokens)
                yield self._chunk(_choice(index, chunk.text, logprobs=logprobs), part)
            case _:
                self._usage.add(event.prompt, response.summary)
                choice = _choice(index, finish_reason=finish_reason_of(response.summary))
                yield self._chunk(choice, summary_part(response.summary))

    def _whole_choice(self, choice: WholeChoice) -> dict[str, Any]:
        logprobs = self._logprobs(choice.index, choice.tokens)
        reason = finish_reason_of(choice.summary)
        whole = _choice(choice.index, choice.text, logprobs=logprobs, finish_reason=reason)
        return {**whole, "paceline": choice.paceline}

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


def _choice(
    index: int,
    text: str = "",
    *,
    logprobs: dict[str, Any] | None = None,
    finish_reason: str | None = None,
) -> dict[str, Any]:
    return {"index": index, "text": text, "logprobs": logprobs, "finish_reason": finish_reason}


def _logprob(token: messages.GeneratedToken) -> float | None:
    return json_logprob(token.logprob) if token.HasField("logprob") else None
