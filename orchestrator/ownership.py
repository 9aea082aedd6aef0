"""One session's record in Redis, as its owner writes it: claimed, committed to, handed over, given up."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial

import structlog

from orchestrator.commit_line import Acknowledgement, CommitLine
from orchestrator.errors import SessionLostError, SessionStoreUnavailableError
from orchestrator.generation_task import GenerationTask
from orchestrator.session import Session
from orchestrator.session_record import (
    Commit,
    NewSession,
    SessionOwners,
    SessionRecord,
    SessionStatus,
    TakeOver,
)
from orchestrator.session_store import SessionStore
from orchestrator.start import CommittedPoint, TakenSession
from orchestrator.task_record import TaskRecord
from paceline.errors import PacelineError
from paceline.rounds import prefix_digest
from paceline.serving.session_point import PrefixDigester

_FIRST_PAUSE_SECONDS = 0.05
_LAST_PAUSE_SECONDS = 1.0

_log = structlog.get_logger()


@dataclass(frozen=True)
class OwnershipSettings:
    """Who the owner is, how far its rounds may run ahead of Redis, and how long it waits for a Redis that is gone."""

    orchestrator: str
    max_uncommitted_rounds: int
    patience_seconds: float


class Ownership:
    """The record of a session that this process owns from `claim` until `close`.

    What Redis has acknowledged and then lost, because it was restarted without its last writes, is put back from the
    session's ids, unless somebody else has taken the session over since: then StaleEpochError ends the rounds.

    Attributes:
        num_restored: How often the record was put back.
    """

    def __init__(
        self, session: Session, task: GenerationTask, store: SessionStore, settings: OwnershipSettings
    ) -> None:
        self._session = session
        self._task = task
        self._store = store
        self._settings = settings
        self._digester = PrefixDigester()
        self._commits = CommitLine(self._commit_patiently, settings.max_uncommitted_rounds)
        self._owners: SessionOwners | None = None
        self._is_acknowledged = False
        self._is_lost = False
        self._num_committed = len(session.ids)
        self.num_restored = 0

    @property
    def is_claimed(self) -> bool:
        """Whether the session is this process' own."""
        return self._is_acknowledged and not self._is_lost

    async def claim(self, owners: SessionOwners) -> None:
        """Make the session, or take it over; raises SessionMovedError where it is no longer as it was read."""
        taken = self._task.start.taken
        if taken is None:
            self._owners = (
                owners  # a call that is cancelled while it waits may have made the session all the same
            )
            await self._create(owners)
        else:
            await self._take(taken, owners)
        self._owners, self._is_acknowledged = owners, True

    async def hand_over(self, owners: SessionOwners, at_least_epoch: int = 0) -> None:
        """Go on with other caches under an epoch above `at_least_epoch`; what is on its way to Redis comes first."""
        await self._commits.drain()
        session, num_ids = self._session, len(self._session.ids)
        digest = self._digester.digest(session.ids, num_ids)
        point = CommittedPoint(session.epoch, num_ids)
        # One epoch for all attempts, so that one whose answer got lost is repeated and not refused.
        epoch = self._store.next_epoch(session.epoch, at_least_epoch)
        change = TakeOver(point, epoch, num_ids, (), digest, owners, self._settings.orchestrator)
        session.is_moving = True
        try:
            await self._retry(partial(self._hand_over, change))
            session.epoch, self._owners = epoch, owners
        finally:
            session.is_moving = False

    async def commit(self, position: int, ids: Sequence[int], status: SessionStatus) -> Acknowledgement:
        """Send a round on its way to Redis; waits only while too many are on it."""
        session = self._session
        digest = self._digester.digest(session.ids, len(session.ids))
        return await self._commits.submit(Commit(position, tuple(ids), digest, status))

    def lose(self) -> None:
        """Note that somebody else owns the session now, so that it is not marked at the end."""
        self._is_lost = True

    async def close(self, status: SessionStatus | None) -> None:
        """Give up what has not been committed, and mark the session; None leaves it as it is."""
        await self._commits.close()
        if status is None or self._owners is None or self._is_lost:
            return
        session = self._session
        try:
            await self._finish(status)
        except PacelineError as error:
            _log.warning("session_not_marked", session_id=session.session_id, reason=error.reason)

    async def _finish(self, status: SessionStatus) -> None:
        session = self._session
        try:
            await self._store.finish(session.session_id, session.epoch, status)
        except SessionLostError:
            if self._is_acknowledged:
                await self._restore(self._num_committed, status)

    async def _create(self, owners: SessionOwners) -> None:
        session, num_prompt_ids = self._session, len(self._task.prompt_ids)
        await self._store.create(
            NewSession(
                session.session_id,
                session.epoch,
                self._task.model,
                self._task.prompt_ids,
                self._digester.digest(session.ids, len(session.ids)),
                session.sampling,
                owners,
                committed_ids=tuple(session.ids[num_prompt_ids:]),
                task=TaskRecord.of(self._task).write(),
                orchestrator=self._settings.orchestrator,
                tenant=self._task.tenant,
            )
        )

    async def _take(self, taken: TakenSession, owners: SessionOwners) -> None:
        session = self._session
        epoch = self._store.next_epoch(taken.expected.epoch, taken.at_least_epoch)
        await self._store.take_over(
            session.session_id,
            TakeOver(
                taken.expected,
                epoch,
                taken.num_kept,
                tuple(session.ids[taken.num_kept :]),
                self._digester.digest(session.ids, len(session.ids)),
                owners,
                self._settings.orchestrator,
                num_prompt_ids=len(self._task.prompt_ids),
                sampling=self._task.sampling,
                task=TaskRecord.of(self._task).write(),
            ),
        )
        session.epoch = epoch

    async def _hand_over(self, change: TakeOver) -> None:
        session_id = self._session.session_id
        try:
            await self._store.take_over(session_id, change)
        except SessionLostError:
            await self._restore(change.keep_position, SessionStatus.RUNNING)
            await self._store.take_over(session_id, change)

    async def _commit_patiently(self, commit: Commit) -> None:
        await self._retry(partial(self._commit, commit))

    async def _retry(self, attempt: Callable[[], Awaitable[None]]) -> None:
        """Do a change that may be repeated, again and again while Redis is gone, for as long as the patience lasts."""
        deadline = time.monotonic() + self._settings.patience_seconds
        pause_seconds = _FIRST_PAUSE_SECONDS
        while True:
            try:
                return await attempt()
            except SessionStoreUnavailableError:
                if time.monotonic() + pause_seconds > deadline:
                    raise
            await asyncio.sleep(random.uniform(0.5, 1.0) * pause_seconds)  # noqa: S311, jitter
            pause_seconds = min(2 * pause_seconds, _LAST_PAUSE_SECONDS)

    async def _commit(self, commit: Commit) -> None:
        session = self._session
        try:
            await self._store.commit(session.session_id, session.epoch, commit)
        except SessionLostError:
            await self._restore(commit.position + len(commit.ids), commit.status)
        self._num_committed = commit.position + len(commit.ids)

    async def _restore(self, num_ids: int, status: SessionStatus) -> None:
        assert self._owners is not None
        _log.warning("session_restored", session_id=self._session.session_id, num_ids=num_ids)
        await self._store.restore(self._record(self._owners, num_ids, status))
        self.num_restored += 1

    def _record(self, owners: SessionOwners, num_ids: int, status: SessionStatus) -> SessionRecord:
        session, ids = self._session, self._session.ids[:num_ids]
        return SessionRecord(
            session.session_id,
            session.epoch,
            status,
            self._task.model,
            tuple(ids),
            len(self._task.prompt_ids),
            prefix_digest(ids),
            session.sampling,
            owners,
            task=TaskRecord.of(self._task).write(),
            orchestrator=self._settings.orchestrator,
            tenant=self._task.tenant,
        )
