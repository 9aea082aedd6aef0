"""What a caller asks of the draft in one round, checked."""

from dataclasses import dataclass

from paceline.sampling.parameters import check_parameters
from paceline.serving.session_point import SessionPoint, check_count, check_point


@dataclass(frozen=True)
class ProposalRequest:
    """One session's wish for draft tokens; equal wishes have equal proposals.

    Attributes:
        point: Where the round starts.
        num_draft_tokens: Draft tokens wanted; 0 only brings the cache to the point.
        max_ahead_tokens: Tokens that may be drafted past the proposal before the next request.
    """

    point: SessionPoint
    num_draft_tokens: int
    max_ahead_tokens: int

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
    if request.point.sampling is not None:
        check_parameters(request.point.sampling, vocabulary_size)
