"""Commits of one session: in order, in the background, never more than a few behind."""

import asyncio
from collections.abc import Awaitable, Callable

from orchestrator.session_record import Commit

Acknowledgement = asyncio.Future[None]

# Turns of the event loop that a commit lets pass, so that the next round's request is on the wire before it:
# the task that asks, the stream's writer, the write itself.
_TURNS_FOR_THE_NEXT_ROUND = 3


class CommitLine:
    """Hands commits to `commit` one after the other while the next rounds already run, until `close`.

    After a failure nothing further is committed: the acknowledgement of the failed commit and of each one behind
    it has the error, and `submit` raises it.
    """

    def __init__(self, commit: Callable[[Commit], Awaitable[None]], max_uncommitted: int) -> None:
        self._commit = commit
        self._waiting: asyncio.Queue[tuple[Commit, Acknowledgement]] = asyncio.Queue()
        self._room = asyncio.Semaphore(max_uncommitted)
        self._last: Acknowledgement | None = None
        self._error: Exception | None = None
        self._task: asyncio.Task[None] | None = None

    async def submit(self, commit: Commit) -> Acknowledgement:
        """Queue a commit as soon as few enough are before it; the result is done once Redis has it."""
        await self._room.acquire()
        if self._error is not None:
            raise self._error
        self._task = self._task or asyncio.create_task(self._run())
        acknowledged = self._last = asyncio.get_running_loop().create_future()
        self._waiting.put_nowait((commit, acknowledged))
        return acknowledged

    async def drain(self) -> None:
        """Wait until all that was submitted is committed."""
        if self._last is not None:
            await asyncio.shield(self._last)

    async def close(self) -> None:
        """Give up what has not been committed."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        while True:
            commit, acknowledged = await self._waiting.get()
            for _ in range(_TURNS_FOR_THE_NEXT_ROUND):
                await asyncio.sleep(0)
            try:
                await self._commit_unless_failed(commit)
            except Exception as error:
                self._error = error
                acknowledged.set_exception(error)
                acknowledged.exception()  # it need not be waited for
            else:
                acknowledged.set_result(None)
            self._room.release()

    async def _commit_unless_failed(self, commit: Commit) -> None:
        if self._error is not None:
            raise self._error
        await self._commit(commit)
