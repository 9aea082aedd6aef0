"""What goes to a replica in a round and what comes back, as plain data; the clients turn it into messages."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from paceline.sampling.logprobs import TokenLogprobs
from paceline.serving.session_point import SessionPoint
from paceline.telemetry.trace_context import TraceContext


class RoundKey(NamedTuple):
    """What names the answer of a round on the stream where it was asked."""

    session_id: str
    round: int


@dataclass(frozen=True, slots=True)
class RoundTiming:
    """Where the time of a round went inside a replica.

    Attributes:
        queue_seconds: Until the first forward pass that served it.
        compute_seconds: From then until the answer was ready.
        num_cached_tokens: Ids of the round that its cache held already.
        num_steps: Forward passes that served it.
        batch_rows: Rows of all sessions in the last of them.
        batch_sessions: Sessions with rows in it; 0 where the replica does not say.
    """

    queue_seconds: float
    compute_seconds: float
    num_cached_tokens: int
    num_steps: int = 0
    batch_rows: int = 0
    batch_sessions: int = 0


@dataclass(frozen=True, slots=True)
class VerifyRound:
    """Draft ids for the target to verify; none where it decodes alone.

    `draft_distributions` are the drafter's own bytes, one for each id, or none at all where it was certain of them.
    """

    point: SessionPoint
    round: int
    draft_ids: Sequence[int]
    draft_distributions: Sequence[bytes] = ()
    with_prompt_logprobs: bool = False
    trace: TraceContext | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """The first `num_accepted` draft ids, then `own_ids`, are the target's choice; `logprobs` has all of them."""

    num_accepted: int
    own_ids: Sequence[int]
    timing: RoundTiming
    logprobs: Sequence[TokenLogprobs] = ()
    prompt_logprobs: Sequence[TokenLogprobs] = ()  # [num_prompt_tokens - 1], where they were asked for


@dataclass(frozen=True, slots=True)
class ProposalRequest:
    """A wish for draft tokens; with `num_draft_tokens` 0 the cache is only brought to the point."""

    point: SessionPoint
    round: int
    num_draft_tokens: int
    max_ahead_tokens: int
    num_awaited_tokens: int
    max_ahead_guesses: int
    trace: TraceContext | None = None


class DraftSource(StrEnum):
    """Where the draft tokens of a round came from."""

    MODEL = "model"
    PROMPT_LOOKUP = "prompt_lookup"
    PREDICTION = "prediction"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Proposal:
    """Draft ids; `num_ahead_tokens` of them had been drafted before they were asked for.

    `ahead_outcome` is a lower-case word of the contract's AheadOutcome, empty where an older draft does not tell.
    """

    draft_ids: Sequence[int]
    num_ahead_tokens: int
    timing: RoundTiming
    draft_distributions: Sequence[bytes] = ()
    drafter: DraftSource = DraftSource.MODEL
    ahead_outcome: str = ""
    num_dropped_tokens: int = 0


def key_of(request: VerifyRound | ProposalRequest) -> RoundKey:
    """Return what names the answer to a request."""
    return RoundKey(request.point.session_id, request.round)
