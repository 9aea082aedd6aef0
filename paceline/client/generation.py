"""A generation as its caller sees it: what is asked for, and the events that come back."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

from paceline.models.chat_message import ChatMessage


@dataclass(frozen=True)
class RawPrompt:
    """A text to go on from as it stands."""

    text: str


@dataclass(frozen=True)
class Chat:
    """A conversation to answer, the oldest message first."""

    messages: tuple[ChatMessage, ...]


@dataclass(frozen=True)
class PromptIds:
    """Token ids to go on from, shape [num_prompt_tokens]."""

    ids: tuple[int, ...]


Prompt: TypeAlias = RawPrompt | Chat | PromptIds


class SpeculationMode(StrEnum):
    """Whether and how the number of draft tokens is chosen."""

    AS_CONFIGURED = "as configured"
    OFF = "off"
    FIXED = "fixed"


@dataclass(frozen=True)
class Speculation:
    """How to speculate; it never changes the text. `num_draft_tokens` is for mode FIXED."""

    mode: SpeculationMode = SpeculationMode.AS_CONFIGURED
    num_draft_tokens: int | None = None


@dataclass(frozen=True)
class GenerationRequest:
    """A wish for text; what is None is left to the orchestrator."""

    prompt: Prompt
    max_tokens: int | None = None
    speculation: Speculation = field(default_factory=Speculation)
    ignore_eos: bool = False
    model: str | None = None


class TokenOrigin(StrEnum):
    """Where a token came from. The target chose every one of them."""

    ACCEPTED = "accepted"  # the draft had proposed it
    RECOVERED = "recovered"  # the target chose it instead of the draft's
    BONUS = "bonus"  # the target added it after all of the draft's
    TARGET = "target"  # the target decoded alone


@dataclass(frozen=True)
class GeneratedToken:
    """One token and the text that it completed, which may be empty."""

    id: int
    text: str
    origin: TokenOrigin


@dataclass(frozen=True)
class GenerationStarted:
    """The session exists."""

    session_id: str
    num_prompt_tokens: int
    model: str
    seed: int


@dataclass(frozen=True)
class TokenChunk:
    """The committed tokens of one round; `position` counts the prompt, `text` is always whole characters."""

    position: int
    tokens: tuple[GeneratedToken, ...]
    text: str
    round: int
    num_accepted: int


class FinishReason(StrEnum):
    """Why a generation ended."""

    STOP = "stop"
    LENGTH = "length"
    CONTEXT = "context"


@dataclass(frozen=True)
class Usage:
    """Tokens in and out."""

    num_prompt_tokens: int
    num_completion_tokens: int
    num_cached_prompt_tokens: int


@dataclass(frozen=True)
class SpeculationSummary:
    """What speculation did; the tuples have one entry for each place in the round."""

    num_rounds: int
    num_draft_tokens: int
    num_accepted_tokens: int
    num_drafted_per_position: tuple[int, ...]
    num_accepted_per_position: tuple[int, ...]
    num_ahead_tokens: int
    num_degraded_rounds: Mapping[str, int]


@dataclass(frozen=True)
class GenerationTiming:
    """Where the time went, as the orchestrator measured it."""

    time_to_first_token_seconds: float
    time_per_output_token_seconds: float
    total_seconds: float
    draft_seconds: float
    verify_seconds: float
    queue_seconds: float
    network_seconds: float
    commit_seconds: float


@dataclass(frozen=True)
class GenerationSummary:
    """The last event."""

    finish_reason: FinishReason
    usage: Usage
    speculation: SpeculationSummary
    timing: GenerationTiming


GenerationEvent: TypeAlias = GenerationStarted | TokenChunk | GenerationSummary
