"""What a caller asks of the target in one round, checked."""

from dataclasses import dataclass

from paceline.sampling.selector import selector_for
from paceline.serving.session_point import SessionPoint, check_count, check_ids, check_point


@dataclass(frozen=True)
class VerifyRound:
    """One session's round; equal rounds have equal verdicts.

    Attributes:
        point: Where the round starts.
        draft_ids: Draft tokens for the positions after the committed ids; may be empty.
        max_own_tokens: Most ids the target may choose by itself where there are no draft tokens, at least 1.
        stop_ids: Ids after which it chooses no more.
    """

    point: SessionPoint
    draft_ids: tuple[int, ...]
    max_own_tokens: int
    stop_ids: frozenset[int]


def check_round(round_: VerifyRound, vocabulary_size: int) -> None:
    """Refuse what is wrong in itself: raises InvalidRequestError or TokenOutOfVocabularyError."""
    check_point(round_.point, vocabulary_size)
    check_count("draft_ids", len(round_.draft_ids))
    check_ids(round_.draft_ids, vocabulary_size)
    check_count("max_own_tokens", round_.max_own_tokens)
    if round_.point.sampling is not None:
        selector_for(round_.point.sampling)
