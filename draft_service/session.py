"""A session of the draft service: it goes on drafting by itself while the target verifies."""

import asyncio
import time
from typing import NamedTuple

import structlog

from draft_service.drafted_ids import DraftedIds, Extension
from draft_service.drafting import Distributions, drafting_selector, has_distributions
from draft_service.proposing import Proposal, drafted_ahead
from draft_service.requests import ProposalRequest
from paceline.engine.sequence import Sequence
from paceline.engine.work import Work, WorkHandle, WorkTiming
from paceline.errors import PacelineError
from paceline.sampling.processing import MaskRows
from paceline.sampling.structure import StructureCompiler
from paceline.serving.model_engine import ModelEngine
from paceline.serving.session import Session
from paceline.serving.session_point import check_prefix

_NO_WORK = WorkTiming(queue_ns=0, compute_ns=0, num_steps=0, batch_rows=0, num_cached_tokens=0)

_log = structlog.get_logger()


class TimedProposal(NamedTuple):
    """A proposal and where its time went."""

    proposal: Proposal
    timing: WorkTiming
    waited_ns: int  # from receipt until its work was submitted, or until the answer where none was needed


class DraftSession(Session):
    """A session that drafts ahead.

    After each proposal `draft_ahead` draws on in the background, the first token being a guess of the target's
    bonus token. The next request finds its answer there (a hit), or overrides it (a miss). A hit with enough ids
    does not wait for the pass that is running then; a miss is queued right behind that pass.
    """

    def __init__(
        self,
        session_id: str,
        engine: ModelEngine,
        epoch: int,
        structures: StructureCompiler | None = None,
        fork_of: Sequence | None = None,
    ) -> None:
        super().__init__(session_id, engine, epoch, structures, fork_of)
        self._ids = DraftedIds()
        self._distributions: Distributions = {}
        self._rows_mask: MaskRows | None = None
        self._ahead: asyncio.Task[None] | None = None
        self._ahead_limit = 0

    async def propose(self, request: ProposalRequest, received_ns: int) -> TimedProposal:
        """Bring the cache to the point, and return draft ids for the positions after it.

        Raises PositionMismatchError, and whatever the engine refuses.
        """
        self._rows_mask = await self.mask()
        point, known_ids = request.point, self._ids.known
        check_prefix(point, known_ids, self.digester)
        ahead_ids = drafted_ahead(known_ids, point.position, point.committed_ids)
        self._ahead_limit = request.ahead_limit
        if ahead_ids is None:
            timed = await self._override(request, received_ns)
        else:
            timed = await self._continue(request, ahead_ids, received_ns)
        return self._with_distributions(timed, request.end)

    def _with_distributions(self, timed: TimedProposal, end: int) -> TimedProposal:
        """Add what the ids from position `end` on were drawn from, and forget what is over."""
        if not has_distributions(self.sampling):
            return timed
        for position in list(self._distributions):  # a work may be adding to it
            if position < end:
                del self._distributions[position]
        places = range(end, end + len(timed.proposal.draft_ids))
        distributions = tuple(self._distributions[place] for place in places)
        return timed._replace(proposal=timed.proposal._replace(distributions=distributions))

    async def _continue(
        self, request: ProposalRequest, ahead_ids: tuple[int, ...], received_ns: int
    ) -> TimedProposal:
        """Answer with what was drafted ahead, and draw what is missing after it."""
        num_wanted = request.num_draft_tokens
        num_ahead_tokens = min(num_wanted, len(ahead_ids))
        if num_ahead_tokens < num_wanted:
            await self._end_ahead()
            ahead_ids = tuple(self._ids.known[request.end :])
        num_missing = num_wanted - len(ahead_ids)
        if num_missing <= 0:
            proposal = Proposal(ahead_ids[:num_wanted], num_ahead_tokens)
            return TimedProposal(proposal, _NO_WORK, time.monotonic_ns() - received_ns)
        extension = self._ids.extension(request.end + len(ahead_ids))
        timed = await self._draw(extension, num_missing, received_ns)
        drawn_ids = timed.proposal.draft_ids
        return timed._replace(proposal=Proposal(ahead_ids + drawn_ids, num_ahead_tokens))

    async def _override(self, request: ProposalRequest, received_ns: int) -> TimedProposal:
        """Draft from the committed ids, whatever was drafted ahead."""
        if self._ids.latest is not None:
            self._ids.latest.finish()
        extension = self._ids.extension(request.point.position, request.point.committed_ids)
        # One id is drawn even where none is wanted if drafting ahead can go on from it.
        num_drawn = request.num_draft_tokens or min(1, request.max_ahead_tokens)
        timed = await self._draw(extension, num_drawn, received_ns)
        return timed._replace(
            proposal=Proposal(timed.proposal.draft_ids[: request.num_draft_tokens], num_ahead_tokens=0)
        )

    async def _draw(self, extension: Extension, num_ids: int, received_ns: int) -> TimedProposal:
        """Run a work that chooses ids after an extension of the cache."""
        waited_ns = time.monotonic_ns() - received_ns
        handle = self._start(extension, num_ids, background=False)
        try:
            result = await self.result_of(handle)
        except PacelineError:
            self._fall_back(handle)
            raise
        ids = (*result.selected_ids.tolist(), *result.drawn_ids.tolist())
        return TimedProposal(Proposal(ids, 0), result.timing, waited_ns)

    def _start(self, extension: Extension, num_ids: int, *, background: bool) -> WorkHandle:
        handle = self.submit(
            Work(
                self.sequence,
                extension.position,
                extension.token_ids,
                num_selected=min(1, num_ids),
                num_drawn=max(0, num_ids - 1),
                selector=drafting_selector(self.sampling, self._rows_mask, self._distributions),
                background=background,
            )
        )
        self._ids.begin(handle)
        return handle

    def _fall_back(self, handle: WorkHandle) -> None:
        """Take note that a work has failed. What was only inherited from another session is none of our ids."""
        self._ids.fall_back(handle, self.sequence.token_ids if self.was_answered else ())

    def draft_ahead(self) -> None:
        """See to it that drafting goes on until the limit of the last request.

        Call it once the answer is on its way: the engine's thread would compete with its writing, which was measured
        to cost a hit 5 ms on one core.
        """
        if self.is_busy or self.is_closed:
            return
        latest = self._ids.latest
        if (
            self._ahead is not None
            and not self._ahead.done()
            and latest is not None
            and latest.work.background
        ):
            if self._ahead_limit == 0:
                latest.finish()
            return
        self._ahead = asyncio.create_task(self._draft_until_limit())

    async def _draft_until_limit(self) -> None:
        while (num_ids := self._ahead_limit - len(self._ids.known)) > 0:
            extension = self._ids.extension(len(self._ids.known))
            handle = self._start(extension, num_ids, background=True)
            try:
                await asyncio.wrap_future(handle.future)
            except PacelineError as error:
                self._fall_back(handle)
                _log.debug("drafting_ahead_failed", reason=error.reason)
                return
            is_cut_short = handle.is_finishing or len(handle.chosen_ids) < num_ids
            if is_cut_short or handle is not self._ids.latest:
                return

    async def _end_ahead(self) -> None:
        """End drafting ahead after the pass that is running now."""
        if self._ahead is None or self._ahead.done():
            return
        if self._ids.latest is not None:
            self._ids.latest.finish()
        await self._ahead
