"""What the answers of both endpoints have in common: their head, their usage, their end."""

from dataclasses import dataclass, field
from typing import Any

from orchestrator.gateway.event_line import PromptEvent
from paceline.v1 import orchestrator_service_pb2 as messages

# OpenAI has one word for both.
_FINISH_REASONS = {
    messages.FINISH_REASON_STOP: "stop",
    messages.FINISH_REASON_LENGTH: "length",
    messages.FINISH_REASON_CONTEXT: "length",
}


@dataclass(frozen=True)
class AnswerSettings:
    """What is known of an answer before it begins.

    Attributes:
        answer_id: Its id.
        created: Seconds since 1970.
        model: Name of the model that answers.
        fingerprint: Names what decides the text beside the request.
        num_choices: Answers to each prompt.
        includes_usage: Whether a stream ends with the usage.
        includes_tokens: Whether chunks have their tokens.
        includes_logprobs: Whether log-probabilities are wanted, or may be, because the session decides it.
        warnings: What of the request was ignored.
    """

    answer_id: str
    created: int
    model: str
    fingerprint: str
    num_choices: int = 1
    includes_usage: bool = False
    includes_tokens: bool = False
    includes_logprobs: bool = False
    warnings: tuple[str, ...] = ()

    def head(self, kind: str) -> dict[str, Any]:
        """Return the fields that every object of the answer has."""
        return {
            "id": self.answer_id,
            "object": kind,
            "created": self.created,
            "model": self.model,
            "system_fingerprint": self.fingerprint,
        }

    def index(self, event: PromptEvent) -> int:
        """Return the number of the choice of an event, over all prompts."""
        return event.prompt * self.num_choices + event.response.choice


def finish_reason_of(summary: messages.GenerationSummary) -> str:
    """Return OpenAI's word for why a generation ended."""
    return _FINISH_REASONS[summary.finish_reason]


@dataclass
class UsageSum:
    """The usage of all choices of all prompts; a prompt counts once."""

    _prompts: dict[int, messages.Usage] = field(default_factory=dict[int, messages.Usage])
    _num_completion_tokens: int = 0
    _num_accepted: int = 0
    _num_rejected: int = 0

    def add(self, prompt: int, summary: messages.GenerationSummary) -> None:
        """Add a choice of a prompt."""
        # One choice computes the prompt, the others find it: what counts is what was there before the request.
        known = self._prompts.get(prompt)
        if known is None or summary.usage.num_cached_prompt_tokens < known.num_cached_prompt_tokens:
            self._prompts[prompt] = summary.usage
        self._num_completion_tokens += summary.usage.num_completion_tokens
        self._num_accepted += summary.speculation.num_accepted_prediction_tokens
        self._num_rejected += summary.speculation.num_rejected_prediction_tokens

    def to_json(self) -> dict[str, Any]:
        """Return OpenAI's object."""
        num_prompt_tokens = sum(usage.num_prompt_tokens for usage in self._prompts.values())
        num_cached = sum(usage.num_cached_prompt_tokens for usage in self._prompts.values())
        return {
            "prompt_tokens": num_prompt_tokens,
            "completion_tokens": self._num_completion_tokens,
            "total_tokens": num_prompt_tokens + self._num_completion_tokens,
            "prompt_tokens_details": {"cached_tokens": num_cached},
            "completion_tokens_details": {
                "accepted_prediction_tokens": self._num_accepted,
                "rejected_prediction_tokens": self._num_rejected,
                "reasoning_tokens": 0,
            },
        }


@dataclass
class WholeChoice:
    """One choice of a whole answer, as it comes together."""

    index: int
    paceline: dict[str, Any] = field(default_factory=dict[str, Any])
    texts: list[str] = field(default_factory=list[str])
    tokens: list[messages.GeneratedToken] = field(default_factory=list[messages.GeneratedToken])
    summary: messages.GenerationSummary = field(default_factory=messages.GenerationSummary)

    @property
    def text(self) -> str:
        """All of its text."""
        return "".join(self.texts)
