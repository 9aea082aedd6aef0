"""What goes to a replica in a round and what comes back, as plain data; the clients turn it into messages."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from paceline.client.generation import Drafter
from paceline.sampling.logprobs import TokenLogprobs
from paceline.serving.session_point import SessionPoint


class RoundKey(NamedTuple):
    """What names the answer of a round on the stream where it was asked."""

    session_id: str
    round: int


@dataclass(frozen=True, slots=True)
class RoundTiming:
    """Where the time of a round went inside a replica."""

    queue_seconds: float
    compute_seconds: float
    num_cached_tokens: int


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


@dataclass(frozen=True, slots=True)
class Proposal:
    """Draft ids; `num_ahead_tokens` of them had been drafted before they were asked for."""

    draft_ids: Sequence[int]
    num_ahead_tokens: int
    timing: RoundTiming
    draft_distributions: Sequence[bytes] = ()
    drafter: Drafter = Drafter.MODEL


def key_of(request: VerifyRound | ProposalRequest) -> RoundKey:
    """Return what names the answer to a request."""
    return RoundKey(request.point.session_id, request.round)
