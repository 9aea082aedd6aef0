"""Commits of one session: in order, in the background, never more than a few behind."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from orchestrator.session_record import Commit

Acknowledgement = asyncio.Future[None]


class CommitLine:
    """Hands commits to `commit` one after the other while the next rounds already run, until `close`.

    Those that have gathered while one was on its way go as one, so that rounds may be shorter than Redis takes.
    After a failure nothing further is committed: the acknowledgement of the failed commit and of each one behind
    it has the error, and `submit` raises it.
    """

    def __init__(self, commit: Callable[[Commit], Awaitable[None]], max_uncommitted: int) -> None:
        self._commit = commit
        self._waiting: list[tuple[Commit, Acknowledgement]] = []
        self._room = asyncio.Semaphore(max_uncommitted)
        self._last: Acknowledgement | None = None
        self._error: Exception | None = None
        self._task: asyncio.Task[None] | None = None

    async def submit(self, commit: Commit) -> Acknowledgement:
        """Queue a commit as soon as few enough are before it; the result is done once Redis has it."""
        await self._room.acquire()
        if self._error is not None:
            raise self._error
        acknowledged = self._last = asyncio.get_running_loop().create_future()
        self._waiting.append((commit, acknowledged))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())
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
        while self._waiting:
            gathered, self._waiting = self._waiting, []
            try:
                await self._commit_unless_failed(_joined([commit for commit, _ in gathered]))
            except Exception as error:
                self._error = error
            for _, acknowledged in gathered:
                self._acknowledge(acknowledged)

    def _acknowledge(self, acknowledged: Acknowledgement) -> None:
        if self._error is None:
            acknowledged.set_result(None)
        else:
            acknowledged.set_exception(self._error)
            acknowledged.exception()  # it need not be waited for
        self._room.release()

    async def _commit_unless_failed(self, commit: Commit) -> None:
        if self._error is not None:
            raise self._error
        await self._commit(commit)


def _joined(commits: Sequence[Commit]) -> Commit:
    """Return commits that follow one another as one.

    Example: ids (5, 6) at position 3, then (7,) at position 5 -> (5, 6, 7) at position 3.
    """
    if len(commits) == 1:
        return commits[0]
    ids = tuple(token_id for commit in commits for token_id in commit.ids)
    return Commit(commits[0].position, ids, commits[-1].digest, commits[-1].status)
