"""A round on the engine: the session's cache, one forward pass, the verdict."""

import time
from typing import NamedTuple

import numpy as np

from paceline.engine.work import Work, WorkTiming
from paceline.errors import InvalidRequestError
from paceline.sampling.draft_distribution import DraftDistribution
from paceline.sampling.logprobs import TokenLogprobs
from paceline.sampling.parameters import SamplingParameters, Verification
from paceline.sampling.processing import MaskRows
from paceline.sampling.rejection import RejectionSelector
from paceline.sampling.selector import RowSelector, selector_for
from paceline.serving.session import Session
from paceline.serving.session_point import check_prefix
from target_service.prompt_logprobs import PromptLogprobs
from target_service.rounds import VerifyRound
from target_service.verification import Verdict, judge


class VerifiedRound(NamedTuple):
    """A verdict, what the model thought of its ids, and where its time went."""

    verdict: Verdict
    logprobs: list[TokenLogprobs]  # of the accepted ids, then the own ones; empty where they are not wanted
    prompt_logprobs: list[
        TokenLogprobs
    ]  # of the prompt from its second id on; empty where they are not wanted
    timing: WorkTiming
    waited_ns: int  # from receipt until the work was submitted


async def verify(
    session: Session, round_: VerifyRound, received_ns: int, vocabulary_size: int
) -> VerifiedRound:
    """Bring the session's cache to the point, choose an id at each row of the drafts, and judge them.

    Ids past the accepted ones stay in the cache until the next round's position cuts them off.
    Raises PositionMismatchError, InvalidRequestError, and whatever the engine refuses.
    """
    check_prefix(round_.point, session.sequence.token_ids, session.digester)
    if round_.with_prompt_logprobs and session.sampling.num_prompt_tokens != len(round_.point.committed_ids):
        raise InvalidRequestError(
            f"with_prompt_logprobs needs just the {session.sampling.num_prompt_tokens} ids of the prompt, and "
            f"{len(round_.point.committed_ids)} were sent",
            field="with_prompt_logprobs",
        )
    selector = _selector(session.sampling, await session.mask(), round_, vocabulary_size)
    prompt = PromptLogprobs(selector, session.sampling) if round_.with_prompt_logprobs else None
    num_prompt_rows = len(round_.point.committed_ids) - 1 if prompt is not None else 0
    waited_ns = time.monotonic_ns() - received_ns
    result = await session.run(_work(session, round_, prompt or selector, num_prompt_rows))
    selected_ids: list[int] = result.selected_ids[num_prompt_rows:].tolist()
    verdict = judge(selected_ids, round_.draft_ids)
    drawn_ids: list[int] = result.drawn_ids.tolist()
    kept = [*selector.logprobs[: verdict.num_accepted + 1], *selector.logprobs[len(selected_ids) :]]
    verdict = verdict._replace(own_ids=(*verdict.own_ids, *drawn_ids))
    prompt_logprobs = prompt.logprobs if prompt is not None else []
    return VerifiedRound(verdict, kept, prompt_logprobs, result.timing, waited_ns)


def _selector(
    sampling: SamplingParameters, mask: MaskRows | None, round_: VerifyRound, vocabulary_size: int
) -> RowSelector:
    if sampling.verification is not Verification.REJECTION or not round_.draft_ids:
        return selector_for(sampling, mask)
    encoded = round_.draft_distributions or (b"",) * len(round_.draft_ids)
    distributions = [
        DraftDistribution.decode(one, draft_id, vocabulary_size, f"draft_distributions[{place}]")
        if one
        else None
        for place, (one, draft_id) in enumerate(zip(encoded, round_.draft_ids, strict=True))
    ]
    return RejectionSelector(sampling, round_.draft_ids, distributions, mask)


def _work(
    session: Session, round_: VerifyRound, selector: RowSelector | PromptLogprobs, num_prompt_rows: int
) -> Work:
    is_alone = not round_.draft_ids
    return Work(
        session.sequence,
        position=round_.point.position,
        token_ids=np.array(round_.point.committed_ids + round_.draft_ids, np.int64),
        num_selected=num_prompt_rows + len(round_.draft_ids) + 1,
        num_drawn=round_.max_own_tokens - 1 if is_alone else 0,
        stop_ids=round_.stop_ids,
        selector=selector,
    )
