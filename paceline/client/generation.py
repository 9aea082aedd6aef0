"""A generation as its caller sees it: what is asked for, and the events that come back."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

from paceline.models.chat_message import ChatMessage
from paceline.sampling.parameters import Structure, Verification


@dataclass(frozen=True)
class RawPrompt:
    """A text to go on from as it stands."""

    text: str


@dataclass(frozen=True)
class Chat:
    """A conversation to answer, the oldest message first; `tools_json` are tools as the OpenAI API has them."""

    messages: tuple[ChatMessage, ...]
    tools_json: str = ""


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
    ADAPTIVE = "adaptive"


class Drafter(StrEnum):
    """Where draft tokens come from."""

    MODEL = "model"
    PROMPT_LOOKUP = "prompt_lookup"
    NONE = "none"


@dataclass(frozen=True)
class Speculation:
    """How to speculate. `num_draft_tokens` is the number in mode FIXED and the most in mode ADAPTIVE."""

    mode: SpeculationMode = SpeculationMode.AS_CONFIGURED
    num_draft_tokens: int | None = None
    drafter: Drafter | None = None


@dataclass(frozen=True)
class Sampling:
    """How ids are chosen; see `paceline.sampling.parameters.SamplingParameters` for what each does.

    Without a seed one is drawn, and `GenerationStarted` has it. `verification` None is as configured.
    """

    temperature: float = 0.0
    seed: int | None = None
    top_k: int | None = None
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    logit_bias: Mapping[int, float] = field(default_factory=dict[int, float])
    min_tokens: int = 0
    num_logprobs: int | None = None
    verification: Verification | None = None
    structure: Structure | None = None


@dataclass(frozen=True)
class StopConditions:
    """When to stop besides end-of-generation ids and `max_tokens`; `include_text` sends the stop text too."""

    texts: tuple[str, ...] = ()
    ids: tuple[int, ...] = ()
    include_text: bool = False


class ContinuationMode(StrEnum):
    """How a session goes on from one of its points."""

    RESUME = "resume"  # exactly as the broken stream would have
    REWIND = "rewind"  # anew, what came after the point is dropped
    FORK = "fork"  # as rewind, in a new session


@dataclass(frozen=True)
class Continuation:
    """Going on with a session from the point that a rollback token names."""

    rollback_token: str
    mode: ContinuationMode


@dataclass(frozen=True)
class GenerationRequest:
    """A wish for text; what is None is left to the orchestrator.

    Without a `continuation` there must be a prompt. With one, the prompt goes on where the point is, and what is left
    at its default stays as the session has it; to resume a session, leave everything else at its default.
    `prediction` is what much of the output is likely to repeat.
    """

    prompt: Prompt | None
    max_tokens: int | None = None
    speculation: Speculation = field(default_factory=Speculation)
    ignore_eos: bool = False
    model: str | None = None
    sampling: Sampling = field(default_factory=Sampling)
    stop: StopConditions = field(default_factory=StopConditions)
    num_choices: int = 1
    echo: bool = False
    continuation: Continuation | None = None
    prediction: str = ""


class TokenOrigin(StrEnum):
    """Where a token came from. The target chose every one of them."""

    ACCEPTED = "accepted"  # the draft had proposed it
    RECOVERED = "recovered"  # the target chose it instead of the draft's
    BONUS = "bonus"  # the target added it after all of the draft's
    TARGET = "target"  # the target decoded alone
    PROMPT = "prompt"  # it is of the prompt, which `echo` asked for
    REPLAYED = "replayed"  # it was committed before the stream that resumes the session


@dataclass(frozen=True)
class TokenAlternative:
    """A token that could have been chosen, its text by itself and its log-probability."""

    id: int
    text: str
    logprob: float


@dataclass(frozen=True)
class GeneratedToken:
    """One token and the text that it completed, which may be empty.

    Where log-probabilities are wanted, `logprob` is what the model itself gave the token, before any processing, and
    `alternatives` are the most likely tokens there.
    """

    id: int
    text: str
    origin: TokenOrigin
    logprob: float | None = None
    alternatives: tuple[TokenAlternative, ...] = ()


@dataclass(frozen=True)
class GenerationStarted:
    """The session exists; the first token sent will be at `position`, the point that `rollback_token` names."""

    session_id: str
    num_prompt_tokens: int
    model: str
    seed: int
    choice: int = 0
    position: int = 0
    rollback_token: str = ""
    trace_id: str = ""


@dataclass(frozen=True)
class ChunkTiming:
    """Where the time of the rounds of one chunk went; see `paceline.v1.ChunkTiming`."""

    draft_seconds: float = 0.0
    network_seconds: float = 0.0
    queue_seconds: float = 0.0
    verify_seconds: float = 0.0
    commit_seconds: float = 0.0


@dataclass(frozen=True)
class TokenChunk:
    """Committed tokens, of one round or of several; `position` counts the prompt, `text` is always whole characters.

    `rollback_token` names the point after the last of them. `timing` and `num_draft_tokens` are those of the rounds
    since the chunk before; timing is None where no round brought the tokens. `epoch` rises where the session was taken
    over. Orchestrators of older releases tell none of the three.
    """

    position: int
    tokens: tuple[GeneratedToken, ...]
    text: str
    round: int
    num_accepted: int
    choice: int = 0
    rollback_token: str = ""
    timing: ChunkTiming | None = None
    num_draft_tokens: int = 0
    epoch: int = 0


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
class DraftLengthChoice:
    """How many draft tokens a round was to have, and why; see `paceline.v1.DraftLengthChoice`."""

    num_draft_tokens: int
    max_ahead_tokens: int
    reason: str
    acceptance: float = 0.0
    tokens_per_round: float = 0.0
    tokens_per_second: float = 0.0
    target_only_tokens_per_second: float = 0.0
    draft_seconds: float = 0.0
    pass_seconds: float = 0.0
    num_reported_draft_tokens: int = 0


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
    num_rounds_by_drafter: Mapping[str, int] = field(default_factory=dict[str, int])
    num_rounds_per_draft_length: tuple[int, ...] = ()
    choice: DraftLengthChoice | None = None
    num_proposals_by_ahead_outcome: Mapping[str, int] = field(default_factory=dict[str, int])
    num_dropped_tokens: int = 0
    num_accepted_prediction_tokens: int = 0
    num_rejected_prediction_tokens: int = 0


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
class RecoverySummary:
    """What was lost on the way and how it was made good; see `paceline.v1.RecoverySummary`."""

    num_failovers: Mapping[str, int] = field(default_factory=dict[str, int])
    num_rebuilt_tokens: int = 0
    num_replayed_tokens: int = 0
    num_restored_records: int = 0
    detection_seconds: float = 0.0
    takeover_seconds: float = 0.0
    rebuild_seconds: float = 0.0


@dataclass(frozen=True)
class GenerationSummary:
    """The last event."""

    finish_reason: FinishReason
    usage: Usage
    speculation: SpeculationSummary
    timing: GenerationTiming
    stop_text: str | None = None
    stop_id: int | None = None
    choice: int = 0
    recovery: RecoverySummary = field(default_factory=RecoverySummary)
    rollback_token: str = ""


GenerationEvent: TypeAlias = GenerationStarted | TokenChunk | GenerationSummary
