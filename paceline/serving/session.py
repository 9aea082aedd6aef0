"""One session at a replica: its sequence, its epoch, and the round that it is at."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable
from typing import Any

from paceline.engine.errors import SequenceClosedError
from paceline.engine.sequence import Sequence
from paceline.engine.work import Work, WorkHandle, WorkResult
from paceline.errors import InvalidRequestError, PacelineError
from paceline.sampling.parameters import SamplingParameters
from paceline.sampling.processing import MaskRows
from paceline.sampling.structure import StructureCompiler
from paceline.serving.errors import SupersededError
from paceline.serving.model_engine import ModelEngine
from paceline.serving.session_point import PrefixDigester


class _Round:
    """A round under way or answered: `answer` may come before `task`, which owns the sequence, has ended.

    `num_callers` wait for the answer; none do once their streams have broken.
    """

    def __init__(self, key: Hashable) -> None:
        self.key = key
        self.answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.answer.add_done_callback(_mark_retrieved)
        self.task: asyncio.Task[None] | None = None
        self.num_callers = 0

    @property
    def can_be_repeated(self) -> bool:
        """Whether the same request gets this round's answer: it runs, or it went well."""
        return not self.answer.done() or (not self.answer.cancelled() and self.answer.exception() is None)


class Session:
    """What a replica knows of a session. At most one round at a time works on the sequence.

    Attributes:
        epoch: The highest seen.
        round_number: The highest seen in this epoch.
        sampling: How ids are chosen, as last set.
        digester: Digests of the known ids.
        last_used_seconds: When a round last came or ended, on the monotonic clock.
        was_answered: Whether a round of it ever went well, so that its cache is worth keeping.
    """

    def __init__(
        self,
        session_id: str,
        engine: ModelEngine,
        epoch: int,
        structures: StructureCompiler | None = None,
        fork_of: Sequence | None = None,
    ) -> None:
        self.session_id = session_id
        self.epoch = epoch
        self.round_number = 0
        self.sampling = SamplingParameters()
        self._structures = structures
        self._mask: tuple[SamplingParameters, MaskRows | None] = (self.sampling, None)
        self.digester = PrefixDigester()
        self.last_used_seconds = time.monotonic()
        self.sequence = engine.open_sequence() if fork_of is None else engine.fork_sequence(fork_of)
        self.was_answered = False
        self.is_closed = False
        self._engine = engine
        self._round: _Round | None = None
        self._running: WorkHandle | None = None

    @property
    def is_busy(self) -> bool:
        """Whether a round runs or waits."""
        return self._round is not None and not self._round.answer.done()

    async def play(self, key: Hashable, make_answer: Callable[[], Awaitable[Any]]) -> Any:
        """Return the answer of a round, made once for equal keys in a row.

        A different round takes the place of one that runs: that one is answered SUPERSEDED at once, its work is
        ended, and only then does the new one touch the sequence.
        """
        self.last_used_seconds = time.monotonic()
        current = self._round
        if not self.repeats(key):
            self._round = _Round(key)
            if current is not None:
                self._end_round(current, self._superseded())
            previous = current.task if current is not None else None
            self._round.task = asyncio.create_task(self._run(self._round, previous, make_answer))
        joined = self._round
        assert joined is not None
        joined.num_callers += 1
        try:
            return await asyncio.shield(joined.answer)
        finally:
            joined.num_callers -= 1

    def repeats(self, key: Hashable) -> bool:
        """Whether a request has its answer already, or gets it from the round that runs."""
        return self._round is not None and self._round.key == key and self._round.can_be_repeated

    def end_orphan(self) -> None:
        """End the current round if nobody waits for its answer any more; what it has computed stays."""
        if self._round is not None and not self._round.num_callers:
            self._end_round(self._round, self._superseded())

    async def run(self, work: Work) -> WorkResult:
        """Run a work of the current round to its end; abandoned if a newer round takes this one's place."""
        return await self.result_of(self.submit(work))

    async def result_of(self, handle: WorkHandle) -> WorkResult:
        """Wait for a submitted work on behalf of the current round; see `run`."""
        self._running = handle
        try:
            return await asyncio.wrap_future(handle.future)
        finally:
            self._running = None

    def submit(self, work: Work) -> WorkHandle:
        """Queue a work."""
        return self._engine.submit(work)

    async def mask(self) -> MaskRows | None:
        """Return what the session's structure allows at each row, None for any text.

        A structure is compiled once, in a thread. Raises InvalidRequestError where it cannot be.
        """
        sampling = self.sampling
        if self._mask[0] is not sampling:
            self._mask = (sampling, await self._mask_of(sampling))
        return self._mask[1]

    async def _mask_of(self, sampling: SamplingParameters) -> MaskRows | None:
        if sampling.structure is None:
            return None
        if self._structures is None:
            raise InvalidRequestError(
                "the replica serves no structured output; leave sampling.structure out",
                field="sampling.structure",
            )
        compiled = await asyncio.to_thread(self._structures.compile, sampling.structure)
        return compiled.rows(sampling.num_prompt_tokens)

    def close(self, reason: PacelineError | None = None) -> None:
        """Free the cache. A running round is answered with the reason, SUPERSEDED if there is none."""
        self.is_closed = True
        if self._round is not None:
            self._end_round(self._round, reason or self._superseded())
        self._engine.close_sequence(self.sequence)

    def _superseded(self) -> SupersededError:
        return SupersededError(
            f"a newer request or the end of session {self.session_id} took this one's place",
            session_id=self.session_id,
        )

    def _end_round(self, current: _Round, error: PacelineError) -> None:
        if not current.answer.done():
            current.answer.set_exception(error)
        if self._running is not None:
            self._running.abandon()

    async def _run(
        self, current: _Round, previous: asyncio.Task[None] | None, make_answer: Callable[[], Awaitable[Any]]
    ) -> None:
        if previous is not None and not previous.done():
            await previous
        if current.answer.done():  # superseded while it waited
            return
        try:
            answer = await self._answer(make_answer)
        except Exception as error:
            if not current.answer.done():
                current.answer.set_exception(error)
        else:
            self.was_answered = True
            if not current.answer.done():
                current.answer.set_result(answer)
        finally:
            self.last_used_seconds = time.monotonic()

    async def _answer(self, make_answer: Callable[[], Awaitable[Any]]) -> Any:
        if self.is_closed:
            raise SequenceClosedError("the session was released")
        return await make_answer()


def _mark_retrieved(answer: asyncio.Future[Any]) -> None:
    """Keep asyncio from reporting the error of an answer whose client has gone."""
    if not answer.cancelled():
        answer.exception()
