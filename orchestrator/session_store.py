"""Sessions in Redis. This module and session_store.lua own every key and every script but those of quotas."""

import heapq
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

from orchestrator.call_line import CallLine, let_the_next_rounds_go_first
from orchestrator.errors import (
    SessionCancelledError,
    SessionLostError,
    SessionMovedError,
    SessionStoreUnavailableError,
)
from orchestrator.quota_store import QuotaStore
from orchestrator.redis_address import read_redis_url
from orchestrator.redis_connection import (
    ConnectionLimits,
    RedisClient,
    redis_client,
    unavailable_if_redis_fails,
)
from orchestrator.redis_watch import RedisWatch
from orchestrator.session_fields import (
    Fields,
    Value,
    fields_of_new,
    fields_of_record,
    fields_of_take_over,
    overview_of,
    pack_ids,
    record_of,
)
from orchestrator.session_record import (
    Commit,
    NewSession,
    SessionListing,
    SessionOverview,
    SessionRecord,
    SessionStatus,
    TakeOver,
)
from orchestrator.session_script import Call, SessionScript
from paceline.errors import PacelineError
from paceline.serving.errors import StaleEpochError
from paceline.telemetry.metrics import Metrics

TOKEN_KEY_BYTES = 32
_APPLIED = (b"OK", b"REPEATED")
_TAKEN = (b"STALE_EPOCH", b"CANCELLED")
_LOST = (b"NOT_FOUND", b"UNKNOWN_EPOCH", b"POSITION_MISMATCH")
_KEYS_A_SCAN = 500


@dataclass(frozen=True)
class StoreSettings:
    """How the store is reached and how long its records live.

    Attributes:
        url: Address of Redis; docs/redis.md has every form.
        prefix: What every key starts with.
        session_ttl_seconds: Seconds after its last change that a session is kept.
        lease_seconds: Seconds after its last change or renewal that a running session belongs to its owner.
        timeout_seconds: Seconds that one attempt at a command may take.
        num_retries: Further attempts after a failed one, so that a failure shows in bounded time.
        max_connections: Most connections at once; there must be one for each session.
        max_epoch_step: By how much a new epoch may be higher than the last, at random, so that two owners who
            start from the same epoch, since Redis has lost what came after it, do not get the same one.
    """

    url: str
    prefix: str = "paceline"
    session_ttl_seconds: int = 3600
    lease_seconds: float = 10.0
    timeout_seconds: float = 1.0
    num_retries: int = 3
    max_connections: int = 1024
    max_epoch_step: int = 65536

    @property
    def limits(self) -> ConnectionLimits:
        """How long and how often is tried."""
        return ConnectionLimits(self.timeout_seconds, self.num_retries, self.max_connections)


class _Answer(NamedTuple):
    code: bytes
    epoch: int
    position: int


class SessionStore:
    """Sessions in Redis, changed by compare-and-set on epoch and position; made by `connect`.

    Every change can be repeated: a repeat answers as the first did and changes nothing, so attempts whose answer
    got lost are simply made again. Each method raises SessionStoreUnavailableError where Redis does not answer within
    its retries. A method with an epoch raises StaleEpochError where another owner has taken over,
    SessionCancelledError where an operator has ended the session, and SessionLostError where Redis has lost what it
    had acknowledged: `restore` puts it back.

    Attributes:
        quotas: What tenants use, in the same Redis.
    """

    def __init__(self, redis: RedisClient, settings: StoreSettings, metrics: Metrics | None = None) -> None:
        self._redis = redis
        self._settings = settings
        watch = RedisWatch(metrics or Metrics())
        self._script = SessionScript(redis, settings.prefix, settings.limits.deadline_seconds, watch)
        self.quotas = QuotaStore(redis, settings.prefix, settings.lease_seconds, watch)
        self._commits = CallLine(self._script.outcomes)

    @classmethod
    @asynccontextmanager
    async def connect(
        cls, settings: StoreSettings, metrics: Metrics | None = None
    ) -> AsyncIterator["SessionStore"]:
        """Hold connections inside a `with`; raises ConfigError for a malformed URL.

        The first command finds out if the server is there.
        """
        async with redis_client(read_redis_url(settings.url), settings.limits) as redis:
            store = cls(redis, settings, metrics)
            try:
                yield store
            finally:
                await store._commits.close()

    async def ping(self) -> None:
        """Find out if the server answers."""
        with unavailable_if_redis_fails():
            await self._redis.ping()

    async def token_key(self, proposed: bytes | None = None) -> bytes:
        """Return the secret, 32 bytes, that all orchestrators of the prefix sign rollback tokens with.

        The first to ask makes it. Who has it already proposes it, so that it is the same again where Redis has lost it.
        """
        proposed = proposed or secrets.token_bytes(TOKEN_KEY_BYTES)
        with unavailable_if_redis_fails():
            known = await self._redis.set(f"{self._settings.prefix}:token_key", proposed, nx=True, get=True)
        assert known is None or isinstance(known, bytes), "keys are bytes"
        return known or proposed

    def next_epoch(self, *known: int) -> int:
        """Return an epoch to take a session over with: higher than all known ones by a random step."""
        return max(known) + self._epoch_step()

    async def create(self, session: NewSession) -> None:
        """Make a running session."""
        ids = pack_ids((*session.prompt_ids, *session.committed_ids))
        await self._change(
            session.session_id,
            session.epoch,
            "create",
            session.epoch,
            ids,
            *self._lifetimes,
            *fields_of_new(session),
        )

    async def commit(self, session_id: str, epoch: int, commit: Commit) -> None:
        """Append the ids of a round; one commit of a session at a time, together with those of other sessions."""
        ids, status = pack_ids(commit.ids), commit.status.value
        arguments = (epoch, commit.position, ids, commit.digest, status, *self._lifetimes)
        call = Call(session_id, "commit", arguments)
        answer = _Answer(*(await self._run_gathered(call)))
        if answer.code not in _APPLIED:
            raise _refusal(session_id, epoch, answer)

    async def finish(self, session_id: str, epoch: int, status: SessionStatus) -> None:
        """End or suspend a session that runs; one that does not run stays as it is."""
        ttl_seconds = self._settings.session_ttl_seconds
        await self._change(session_id, epoch, "finish", epoch, status.value, ttl_seconds)

    async def take_over(self, session_id: str, take_over: TakeOver) -> None:
        """Make a session run under a new owner and epoch, cut off and continued as the caller says.

        Raises SessionMovedError where it went on since the caller read it, and StaleEpochError, which SessionMovedError
        is too, where it changed hands: load it again.
        """
        expected = take_over.expected
        answer = await self._answer(
            session_id,
            "take_over",
            expected.epoch,
            expected.position,
            take_over.new_epoch,
            take_over.keep_position,
            pack_ids(take_over.ids),
            take_over.orchestrator,
            *self._lifetimes,
            *fields_of_take_over(take_over),
        )
        if answer.code == b"POSITION_MISMATCH" and answer.position > expected.position:
            raise _moved(session_id, expected.epoch, answer)
        if answer.code not in _APPLIED:
            raise _refusal(session_id, expected.epoch, answer)

    async def renew(self, session_id: str, epoch: int) -> None:
        """Renew the lease of a running session, and its time to live."""
        await self._change(session_id, epoch, "renew", epoch, *self._lifetimes)

    async def renew_all(self, sessions: Sequence[tuple[str, int]]) -> dict[str, PacelineError]:
        """Renew sessions, (id, epoch) each; return why those are lost that another owner or an operator has taken.

        What Redis has lost is not among them: it is still the caller's, whose next commit notices.
        """
        calls = [Call(session_id, "renew", (epoch, *self._lifetimes)) for session_id, epoch in sessions]
        answers = [_Answer(*answer) for answer in await self._script.run_all(calls)]
        return {
            session_id: _refusal(session_id, epoch, answer)
            for (session_id, epoch), answer in zip(sessions, answers, strict=True)
            if answer.code in _TAKEN
        }

    async def restore(self, record: SessionRecord) -> None:
        """Put back what its owner knows to have been acknowledged and Redis has lost; `lease_deadline_ms` is not read.

        Raises StaleEpochError where another owner has taken over, which SessionMovedError is where its epoch is the
        same.
        """
        answer = await self._answer(
            record.session_id,
            "restore",
            record.epoch,
            record.status.value,
            pack_ids(record.ids),
            *self._lifetimes,
            *fields_of_record(record),
        )
        if answer.code == b"POSITION_MISMATCH":
            raise _moved(record.session_id, record.epoch, answer)
        if answer.code not in _APPLIED:
            raise _refusal(record.session_id, record.epoch, answer)

    async def cancel(self, session_id: str) -> SessionOverview | None:
        """End a session that runs or is suspended, whoever owns it; return it as it is then, None if there is none."""
        call = Call(session_id, "cancel", (self._epoch_step(), self._settings.session_ttl_seconds))
        return _overview(session_id, await self._script.run(call))

    async def load(self, session_id: str) -> SessionRecord | None:
        """Return all of a session; None where there is none."""
        code, epoch, _, *found = await self._script.run(Call(session_id, "load"))
        if code == b"NOT_FOUND":
            return None
        flat, packed_ids = found
        return record_of(session_id, epoch, _fields(flat), packed_ids)

    async def overview(self, session_id: str) -> SessionOverview | None:
        """Return what an operator sees of a session; None where there is none."""
        return _overview(session_id, await self._script.run(Call(session_id, "overview")))

    async def list_sessions(self, status: SessionStatus | None, max_sessions: int) -> SessionListing:
        """Return the sessions that changed last, of one status or of any; those that begin meanwhile may be missing."""
        newest: list[SessionOverview] = []
        num_found = 0
        async for batch in self._batches_of_names():
            answers = await self._script.run_all([Call(session_id, "overview") for session_id in batch])
            overviews = map(_overview, batch, answers)
            found = [one for one in overviews if one is not None and status in {None, one.status}]
            num_found += len(found)
            newest = heapq.nsmallest(max_sessions, [*newest, *found], key=lambda one: one.idle_seconds)
        return SessionListing(tuple(newest), num_found)

    async def _batches_of_names(self) -> AsyncIterator[list[str]]:
        """Yield the sessions of all nodes in batches, each session once."""
        seen: set[str] = set()  # SCAN may name a key twice
        batch: list[str] = []
        with unavailable_if_redis_fails():
            async for key in self._redis.scan_iter(match=self._script.state_pattern(), count=_KEYS_A_SCAN):
                session_id = self._script.session_of(key)
                if session_id not in seen:
                    seen.add(session_id)
                    batch.append(session_id)
                if len(batch) == _KEYS_A_SCAN:
                    yield batch
                    batch = []
        yield batch

    @property
    def _lifetimes(self) -> tuple[int, int]:
        """Seconds to live and milliseconds of a lease, as every change of a running session has them."""
        return self._settings.session_ttl_seconds, round(self._settings.lease_seconds * 1000)

    def _epoch_step(self) -> int:
        return 1 + secrets.randbelow(self._settings.max_epoch_step)

    async def _run_gathered(self, call: Call) -> list[Any]:
        """Return the answer to a call that may wait for others to go with it."""
        if self._script.has_one_server:
            return await self._commits.run(call)
        # In a cluster one server that is gone must not hold up the sessions of the others.
        await let_the_next_rounds_go_first()
        return await self._script.run(call)

    async def _change(self, session_id: str, epoch: int, command: str, *arguments: Value) -> _Answer:
        answer = await self._answer(session_id, command, *arguments)
        if answer.code not in _APPLIED:
            raise _refusal(session_id, epoch, answer)
        return answer

    async def _answer(self, session_id: str, command: str, *arguments: Value) -> _Answer:
        return _Answer(*(await self._script.run(Call(session_id, command, arguments))))


def _refusal(session_id: str, epoch: int, answer: _Answer) -> PacelineError:
    if answer.code == b"CANCELLED":
        return SessionCancelledError(session_id)
    if answer.code == b"STALE_EPOCH":
        return StaleEpochError(
            f"the session {session_id} has another owner now; go on from there",
            session_id=session_id,
            epoch=epoch,
            known_epoch=answer.epoch,
        )
    family = SessionLostError if answer.code in _LOST else SessionStoreUnavailableError
    code = answer.code.decode()
    return family(
        f"the session store no longer holds the session {session_id} as it was acknowledged ({code}); start again",
        session_id=session_id,
        code=code,
        epoch=epoch,
        known_epoch=answer.epoch,
        known_position=answer.position,
    )


def _moved(session_id: str, epoch: int, answer: _Answer) -> SessionMovedError:
    return SessionMovedError(
        f"the session {session_id} went on meanwhile; go on from there",
        session_id=session_id,
        epoch=epoch,
        known_epoch=answer.epoch,
        known_position=answer.position,
    )


def _overview(session_id: str, answer: list[Any]) -> SessionOverview | None:
    code, epoch, position, *found = answer
    if code == b"NOT_FOUND":
        return None
    flat, ttl_ms, now_ms = found
    return overview_of(session_id, epoch, position, _fields(flat), ttl_ms, now_ms)


def _fields(flat: list[bytes]) -> Fields:
    return dict(zip(flat[::2], flat[1::2], strict=True))
