"""One line of a session's text that the draft goes on with: the one that it proposed from, or a guess."""

import asyncio
from collections.abc import Callable

import structlog

from draft_service.drafted_ids import DraftedIds, Extension
from paceline.engine.sequence import Sequence
from paceline.engine.work import Selector, Work, WorkHandle
from paceline.errors import PacelineError
from paceline.sampling.outlook import Outlook
from paceline.serving.model_engine import ModelEngine

_log = structlog.get_logger()


class Line:
    """A sequence, the ids that it holds or is about to hold, and a task that drafts ahead on it up to `limit` ids.

    Attributes:
        sequence: Its cache.
        ids: What is in it.
        outlooks: Of the ids that it has chosen, by position.
        limit: Number of ids, the session's first one on, up to which may be drafted ahead.
        num_given: How many of the ids were there when the line began; the last of a guess' is the guessed one.
    """

    def __init__(
        self, engine: ModelEngine, sequence: Sequence, ids: DraftedIds, *, num_given: int = 0
    ) -> None:
        self.sequence = sequence
        self.ids = ids
        self.outlooks: dict[int, Outlook] = {}
        self.limit = 0
        self.num_given = num_given
        self._engine = engine
        self._ahead: asyncio.Task[None] | None = None

    def forget_outlooks(self) -> None:
        """Forget what was noted; works that still run note what they choose where nobody looks."""
        self.outlooks = {}

    @property
    def num_drafted(self) -> int:
        """Ids that it has chosen, those that it was given not counted."""
        return max(0, len(self.ids.known) - self.num_given)

    @property
    def is_drafting_ahead(self) -> bool:
        """Whether the task runs."""
        return self._ahead is not None and not self._ahead.done()

    def start(
        self, extension: Extension, num_ids: int, selector: Selector, *, background: bool
    ) -> WorkHandle:
        """Submit a work that extends the cache and chooses ids after it."""
        work = Work(
            self.sequence,
            extension.position,
            extension.token_ids,
            num_selected=min(1, num_ids),
            num_drawn=max(0, num_ids - 1),
            selector=selector,
            background=background,
        )
        handle = self._engine.submit(work)
        self.ids.begin(handle)
        return handle

    def draft_ahead(self, extension: Extension, make_selector: "MakeSelector") -> "asyncio.Task[None]":
        """Go on from an extension up to the limit, in the task that it returns."""
        self._ahead = asyncio.create_task(self._draft_until_limit(extension, make_selector))
        return self._ahead

    async def end_ahead(self) -> None:
        """End drafting ahead after the pass that is running now."""
        if self._ahead is None or self._ahead.done():
            return
        if self.ids.latest is not None:
            self.ids.latest.finish()
        await self._ahead

    def close(self) -> None:
        """Free the cache; drafting ahead ends with an error that nobody hears of."""
        self._engine.close_sequence(self.sequence)

    async def _draft_until_limit(self, extension: Extension, make_selector: "MakeSelector") -> None:
        while (num_ids := self.limit - extension.position - len(extension.token_ids)) > 0:
            handle = self.start(extension, num_ids, make_selector(self), background=True)
            try:
                await asyncio.wrap_future(handle.future)
            except PacelineError as error:
                self.ids.fall_back_to_given(handle, self.sequence.token_ids)
                _log.debug("drafting_ahead_failed", reason=error.reason)
                return
            is_cut_short = handle.is_finishing or len(handle.chosen_ids) < num_ids
            if is_cut_short or handle is not self.ids.latest:
                return
            extension = self.ids.extension(len(self.ids.known))


# Makes what chooses the ids of one work on a line.
MakeSelector = Callable[[Line], Selector]
