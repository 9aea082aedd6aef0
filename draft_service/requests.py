"""What a caller asks of the draft in one round, checked."""

from dataclasses import dataclass

from paceline.errors import InvalidRequestError
from paceline.sampling.parameters import check_parameters
from paceline.serving.session_point import MAX_AHEAD_GUESSES, SessionPoint, check_count, check_point


@dataclass(frozen=True)
class ProposalRequest:
    """One session's wish for draft tokens; equal wishes have equal proposals.

    Attributes:
        point: Where the round starts.
        num_draft_tokens: Draft tokens wanted; 0 only brings the cache to the point.
        max_ahead_tokens: Tokens that may be drafted past the proposal before the next request.
        num_awaited_tokens: Draft tokens that are worth waiting for where they are not there already; at most
            `num_draft_tokens`.
        max_ahead_guesses: Other outcomes of the round that may be drafted behind at the same time.
    """

    point: SessionPoint
    num_draft_tokens: int
    max_ahead_tokens: int
    num_awaited_tokens: int
    max_ahead_guesses: int = 0

    @property
    def end(self) -> int:
        """Position of the first draft token."""
        return self.point.position + len(self.point.committed_ids)

    @property
    def ahead_limit(self) -> int:
        """Number of ids, the session's first one on, up to which may be drafted ahead."""
        return self.end + self.num_draft_tokens + self.max_ahead_tokens if self.max_ahead_tokens else 0


def check_request(request: ProposalRequest, vocabulary_size: int) -> None:
    """Refuse what is wrong in itself: raises InvalidRequestError or TokenOutOfVocabularyError."""
    check_point(request.point, vocabulary_size)
    check_count("num_draft_tokens", request.num_draft_tokens)
    check_count("max_ahead_tokens", request.max_ahead_tokens)
    if request.num_awaited_tokens > request.num_draft_tokens:
        raise InvalidRequestError(
            f"num_awaited_tokens is {request.num_awaited_tokens} and must not be above num_draft_tokens, "
            f"{request.num_draft_tokens}",
            field="num_awaited_tokens",
        )
    if request.max_ahead_guesses > MAX_AHEAD_GUESSES:
        raise InvalidRequestError(
            f"max_ahead_guesses is {request.max_ahead_guesses} and must be at most {MAX_AHEAD_GUESSES}",
            field="max_ahead_guesses",
        )
    if request.point.sampling is not None:
        check_parameters(request.point.sampling, vocabulary_size)
