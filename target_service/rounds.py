"""What a caller asks of the target in one round, checked."""

from dataclasses import dataclass

from paceline.errors import InvalidRequestError
from paceline.sampling.parameters import check_parameters
from paceline.serving.session_point import SessionPoint, check_count, check_ids, check_point


@dataclass(frozen=True)
class VerifyRound:
    """One session's round; equal rounds have equal verdicts.

    Attributes:
        point: Where the round starts.
        draft_ids: Draft tokens for the positions after the committed ids; may be empty.
        max_own_tokens: Most ids the target may choose by itself where there are no draft tokens, at least 1.
        stop_ids: Ids after which it chooses no more.
        draft_distributions: Distributions that the draft tokens were drawn from, in the draft's own bytes; none, or
            empty bytes in a place, where the drafter was certain.
        with_prompt_logprobs: Also tell how likely the model found each id of the prompt after the first.
    """

    point: SessionPoint
    draft_ids: tuple[int, ...]
    max_own_tokens: int
    stop_ids: frozenset[int]
    draft_distributions: tuple[bytes, ...] = ()
    with_prompt_logprobs: bool = False


def check_round(round_: VerifyRound, vocabulary_size: int) -> None:
    """Refuse what is wrong in itself: raises InvalidRequestError or TokenOutOfVocabularyError."""
    check_point(round_.point, vocabulary_size)
    check_count("draft_ids", len(round_.draft_ids))
    check_ids(round_.draft_ids, vocabulary_size)
    check_count("max_own_tokens", round_.max_own_tokens)
    if round_.draft_distributions and len(round_.draft_distributions) != len(round_.draft_ids):
        raise InvalidRequestError(
            f"there are {len(round_.draft_distributions)} draft_distributions for {len(round_.draft_ids)} draft_ids; "
            "send one for each, or none",
            field="draft_distributions",
        )
    if round_.with_prompt_logprobs and round_.point.position:
        raise InvalidRequestError(
            "with_prompt_logprobs needs the whole prompt; send the round from position 0",
            field="with_prompt_logprobs",
        )
    if round_.point.sampling is not None:
        check_parameters(round_.point.sampling, vocabulary_size)
