"""A round on the engine: the session's cache, one forward pass, the verdict."""

import time
from typing import NamedTuple

import numpy as np

from paceline.engine.work import Work, WorkTiming
from paceline.sampling.selector import selector_for
from paceline.serving.session import Session
from paceline.serving.session_point import check_prefix
from target_service.rounds import VerifyRound
from target_service.verification import Verdict, judge


class Verification(NamedTuple):
    """A verdict and where its time went."""

    verdict: Verdict
    timing: WorkTiming
    waited_ns: int  # from receipt until the work was submitted


async def verify(session: Session, round_: VerifyRound, received_ns: int) -> Verification:
    """Bring the session's cache to the point, choose an id at each row of the drafts, and judge them.

    Ids past the accepted ones stay in the cache until the next round's position cuts them off.
    Raises PositionMismatchError, and whatever the engine refuses.
    """
    point = round_.point
    check_prefix(point, session.sequence.token_ids, session.digester)
    waited_ns = time.monotonic_ns() - received_ns
    result = await session.run(_work(session, round_))
    selected_ids: list[int] = result.selected_ids.tolist()
    verdict = judge(selected_ids, round_.draft_ids)
    drawn_ids: list[int] = result.drawn_ids.tolist()
    return Verification(verdict._replace(own_ids=(*verdict.own_ids, *drawn_ids)), result.timing, waited_ns)


def _work(session: Session, round_: VerifyRound) -> Work:
    is_alone = not round_.draft_ids
    return Work(
        session.sequence,
        position=round_.point.position,
        token_ids=np.array(round_.point.committed_ids + round_.draft_ids, np.int64),
        num_selected=len(round_.draft_ids) + 1,
        num_drawn=round_.max_own_tokens - 1 if is_alone else 0,
        stop_ids=round_.stop_ids,
        selector=selector_for(session.sampling),
    )
