"""A session of the draft service: it goes on drafting by itself while the target verifies."""

import asyncio
import time
from contextlib import suppress
from functools import partial
from itertools import takewhile
from typing import NamedTuple

import numpy as np

from draft_service.drafted_ids import DraftedIds, Extension
from draft_service.drafting import (
    Distributions,
    can_guess,
    drafting_selector,
    forget_before,
    has_distributions,
)
from draft_service.guess_budget import GuessBudget
from draft_service.line import Line
from draft_service.proposing import AheadOutcome, Proposal, drafted_ahead
from draft_service.requests import ProposalRequest
from paceline.engine.sequence import Sequence
from paceline.engine.work import Selector, WorkTiming
from paceline.errors import PacelineError
from paceline.sampling.guesses import Guess, Outcome, best_guesses
from paceline.sampling.outlook import Outlook
from paceline.sampling.processing import MaskRows
from paceline.sampling.structure import StructureCompiler
from paceline.serving.model_engine import ModelEngine
from paceline.serving.session import Session
from paceline.serving.session_point import SessionPoint, check_prefix

_NO_WORK = WorkTiming(queue_ns=0, compute_ns=0, num_steps=0, batch_rows=0, num_cached_tokens=0)
# Guesses take no blocks below this share of the cache: others will want them more.
_LEAST_AVAILABLE_SHARE = 0.25


class TimedProposal(NamedTuple):
    """A proposal and where its time went."""

    proposal: Proposal
    timing: WorkTiming
    waited_ns: int  # from receipt until its work was submitted, or until the answer where none was needed


class _Ahead(NamedTuple):
    """What of the drafting ahead a request finds of use."""

    outcome: AheadOutcome
    ids: tuple[int, ...]  # behind the committed ones
    num_dropped_tokens: int


class DraftSession(Session):
    """A session that drafts ahead.

    After each proposal `draft_ahead` draws on in the background, the first token being a guess of the target's bonus
    token, and beside it on lines of text in which the target refuses one of the draft ids for the next best one, or has
    the next best one follow the last of them. The next request finds its answer there (a hit), or overrides it (a
    miss). A hit with enough ids does not wait for the pass that is running then; a miss is queued right behind it.
    """

    def __init__(
        self,
        session_id: str,
        engine: ModelEngine,
        epoch: int,
        structures: StructureCompiler | None = None,
        fork_of: Sequence | None = None,
        guess_budget: GuessBudget | None = None,
    ) -> None:
        super().__init__(session_id, engine, epoch, structures, fork_of)
        self._budget = guess_budget or GuessBudget(0)
        self._main = Line(engine, self.sequence, DraftedIds())
        self._guessed: dict[Outcome, Line] = {}
        self._drafting_guesses: set[Line] = set()  # those that count in the budget
        self._distributions: Distributions = {}
        self._rows_mask: MaskRows | None = None
        self._max_guesses = 0
        self._request: ProposalRequest | None = None  # the last that was answered
        self._num_proposed = 0  # draft ids of the answer
        self._awaited_position: int | None = None  # when its outlook is noted, guesses are made anew

    async def propose(self, request: ProposalRequest, received_ns: int) -> TimedProposal:
        """Bring the cache to the point, and return draft ids for the positions after it.

        Raises PositionMismatchError, and whatever the engine refuses.
        """
        self._rows_mask = await self.mask()
        check_prefix(request.point, self._main.ids.known, self.digester)
        ahead = self._take_ahead(request.point)
        self._request = None  # unless this one is answered, there is nothing to guess outcomes of
        self._main.limit = request.ahead_limit
        self._max_guesses = request.max_ahead_guesses if request.max_ahead_tokens else 0
        if ahead.outcome in (AheadOutcome.CONTINUED, AheadOutcome.GUESSED):
            timed = await self._continue(request, ahead.ids, received_ns)
        else:
            timed = await self._override(request, received_ns)
        timed = self._with_distributions(timed, request.end)
        self._request, self._num_proposed = request, len(timed.proposal.draft_ids)
        outcome, num_dropped = ahead.outcome, ahead.num_dropped_tokens
        proposal = timed.proposal._replace(ahead_outcome=outcome, num_dropped_tokens=num_dropped)
        return timed._replace(proposal=proposal)

    def draft_ahead(self) -> None:
        """See to it that drafting goes on until the limit of the last request.

        Call it once the answer is on its way: the engine's thread would compete with its writing, which was measured
        to cost a hit 5 ms on one core.
        """
        if self.is_busy or self.is_closed:
            return
        main = self._main
        if main.is_drafting_ahead and main.ids.latest is not None and main.ids.latest.work.background:
            if main.limit == 0:
                main.ids.latest.finish()
        else:
            main.draft_ahead(main.ids.extension(len(main.ids.known)), self._selector)
        self._draft_guesses()

    def close(self, reason: PacelineError | None = None) -> None:
        """Free the caches. A running round is answered with the reason, SUPERSEDED if there is none."""
        self._drop_guesses()
        super().close(reason)

    def _take_ahead(self, point: SessionPoint) -> _Ahead:
        """Find the line that the round has come out on, make it the main one, and drop the others."""
        main, end = self._main, self._request.end + self._num_proposed if self._request is not None else 0
        num_ahead = max(0, len(main.ids.known) - end)
        num_guessed = sum(line.num_drafted for line in self._guessed.values())
        ids = drafted_ahead(main.ids.known, point.position, point.committed_ids)
        if ids is not None:
            self._drop_guesses()
            return _Ahead(AheadOutcome.CONTINUED, ids, num_guessed)
        for line in self._guessed.values():
            ids = drafted_ahead(line.ids.known, point.position, point.committed_ids)
            # What is before its own ids was checked on the main line only; one whose work failed has nothing to offer.
            is_usable = point.position < line.num_given and line.ids.latest is not None
            if ids is not None and is_usable:
                self._go_on_with(line)
                return _Ahead(AheadOutcome.GUESSED, ids, num_ahead + num_guessed - line.num_drafted)
        self._drop_guesses()
        outcome = AheadOutcome.MISSED if num_ahead or num_guessed else AheadOutcome.NONE
        return _Ahead(outcome, (), num_ahead + num_guessed)

    def _go_on_with(self, line: Line) -> None:
        self._drop_guesses(but=line)
        self._main.close()
        self._main, self.sequence = line, line.sequence

    def _with_distributions(self, timed: TimedProposal, end: int) -> TimedProposal:
        """Add what the ids from position `end` on were drawn from, and forget what is over."""
        if not has_distributions(self.sampling):
            return timed
        forget_before(end, self._distributions)
        places = range(end, end + len(timed.proposal.draft_ids))
        distributions = tuple(self._distributions[place] for place in places)
        return timed._replace(proposal=timed.proposal._replace(distributions=distributions))

    async def _continue(
        self, request: ProposalRequest, ahead_ids: tuple[int, ...], received_ns: int
    ) -> TimedProposal:
        """Answer with what was drafted ahead, and draw what is missing after it."""
        main, num_ahead_tokens = self._main, min(request.num_draft_tokens, len(ahead_ids))
        if num_ahead_tokens < request.num_awaited_tokens:
            await main.end_ahead()
            ahead_ids = tuple(main.ids.known[request.end :])
        num_missing = request.num_awaited_tokens - len(ahead_ids)
        if num_missing <= 0:
            proposal = Proposal(ahead_ids[: request.num_draft_tokens], num_ahead_tokens)
            return TimedProposal(proposal, _NO_WORK, time.monotonic_ns() - received_ns)
        extension = main.ids.extension(request.end + len(ahead_ids))
        timed = await self._draw(extension, num_missing, received_ns)
        drawn_ids = timed.proposal.draft_ids
        return timed._replace(proposal=Proposal(ahead_ids + drawn_ids, num_ahead_tokens))

    async def _override(self, request: ProposalRequest, received_ns: int) -> TimedProposal:
        """Draft from the committed ids, whatever was drafted ahead."""
        ids = self._main.ids
        if ids.latest is not None:
            ids.latest.finish()
        self._main.forget_outlooks()
        extension = ids.extension(request.point.position, request.point.committed_ids)
        # One id is drawn even where none is wanted if drafting ahead can go on from it.
        num_drawn = request.num_awaited_tokens or min(1, request.max_ahead_tokens)
        timed = await self._draw(extension, num_drawn, received_ns)
        return timed._replace(
            proposal=Proposal(timed.proposal.draft_ids[: request.num_awaited_tokens], num_ahead_tokens=0)
        )

    async def _draw(self, extension: Extension, num_ids: int, received_ns: int) -> TimedProposal:
        """Run a work that chooses ids after an extension of the cache."""
        main, waited_ns = self._main, time.monotonic_ns() - received_ns
        handle = main.start(extension, num_ids, self._selector(main), background=False)
        try:
            with self._budget.due():
                result = await self.result_of(handle)
        except PacelineError:
            # What was only inherited from another session is none of our ids.
            main.ids.fall_back(handle, self.sequence.token_ids if self.was_answered else ())
            raise
        ids = (*result.selected_ids.tolist(), *result.drawn_ids.tolist())
        return TimedProposal(Proposal(ids, 0), result.timing, waited_ns)

    def _selector(self, line: Line) -> Selector:
        # Guesses of its own give their places back when the next request comes. The guesses of that are made of what is
        # chosen on them and beside them.
        has_places = self._budget.num_free > 0 or bool(self._drafting_guesses)
        has_guesses = self._max_guesses > 0 and has_places and can_guess(self.sampling)
        note = partial(self._note, line.outlooks, asyncio.get_running_loop()) if has_guesses else None
        return drafting_selector(self.sampling, self._rows_mask, self._distributions, note)

    def _note(
        self, outlooks: dict[int, Outlook], loop: asyncio.AbstractEventLoop, position: int, outlook: Outlook
    ) -> None:
        """Keep the outlook of an id that was chosen; the engine's thread calls it."""
        outlooks[position] = outlook
        if position == self._awaited_position and outlooks is self._main.outlooks:
            with suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(self._draft_guesses)

    def _draft_guesses(self) -> None:
        """Draft on behind the likeliest outcomes of the last proposal, beside the one that the main line goes on with.

        What may come in place of its ids is known at once, what may come behind them with the main line's next id.
        """
        request = self._request
        if self.is_closed or request is None or not self._max_guesses or not can_guess(self.sampling):
            return
        end = request.end + self._num_proposed
        self._awaited_position = end  # before looking: it may be noted meanwhile
        outlooks = self._outlooks(request.end, end + 1)
        if len(outlooks) > self._num_proposed:
            self._awaited_position = None
        if self._has_room():
            self._go_on_behind(best_guesses(outlooks, self._max_guesses), request)

    def _outlooks(self, start: int, end: int) -> list[Outlook]:
        """Return the outlooks of the main line's ids as far as they are known, and forget those before."""
        outlooks = self._main.outlooks
        forget_before(start, outlooks)
        return [outlooks[place] for place in takewhile(outlooks.__contains__, range(start, end))]

    def _go_on_behind(self, guesses: list[Guess], request: ProposalRequest) -> None:
        """Draft behind these outcomes and no others."""
        outcomes = {guess.outcome for guess in guesses}
        for outcome in [one for one in self._guessed if one not in outcomes]:
            self._drop_guess(self._guessed.pop(outcome))
        new = [guess for guess in guesses if guess.outcome not in self._guessed]
        for guess in new[: self._budget.take(len(new))]:
            self._draft_guess(guess, request)

    def _draft_guess(self, guess: Guess, request: ProposalRequest) -> None:
        position = request.end + guess.num_accepted
        line = Line(
            self._engine,
            self._engine.fork_sequence(self.sequence),
            DraftedIds(self._main.ids.known[:position]),
            num_given=position + 1,
        )
        # As many as the next request will ask for; that of a prompt asks for none itself.
        line.limit = position + 1 + (request.num_draft_tokens or request.max_ahead_tokens)
        drafting = line.draft_ahead(Extension(position, np.array([guess.token_id], np.int64)), self._selector)
        self._guessed[guess.outcome] = line
        self._drafting_guesses.add(line)
        drafting.add_done_callback(lambda _: self._uncount(line))

    def _uncount(self, line: Line) -> None:
        """Give a guess's place in the budget to others."""
        if line in self._drafting_guesses:
            self._drafting_guesses.discard(line)
            self._budget.give_back(1)

    def _drop_guesses(self, but: Line | None = None) -> None:
        """Free the guesses' caches, and their places in the budget at once: the next proposal has its own guesses."""
        self._awaited_position = None
        for line in self._guessed.values():
            if line is but:
                self._uncount(line)
            else:
                self._drop_guess(line)
        self._guessed = {}

    def _drop_guess(self, line: Line) -> None:
        line.close()
        self._uncount(line)

    def _has_room(self) -> bool:
        progress = self._engine.progress()
        return progress.num_available_blocks >= _LEAST_AVAILABLE_SHARE * progress.num_blocks
