"""Sessions in Redis. This module and session_store.lua own every key and every script."""

import hashlib
import struct
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from pydantic import TypeAdapter
from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialWithJitterBackoff
from redis.exceptions import NoScriptError, RedisError

from orchestrator.errors import SessionStoreUnavailableError
from orchestrator.session_record import (
    CacheOwner,
    Commit,
    NewSession,
    SessionOwners,
    SessionRecord,
    SessionStatus,
)
from paceline.sampling.parameters import SamplingParameters
from paceline.serving.errors import StaleEpochError

_SCRIPT = Path(__file__).with_suffix(".lua").read_bytes()
_SHA = hashlib.sha1(_SCRIPT, usedforsecurity=False).hexdigest()  # EVALSHA names scripts so
_BYTES_PER_ID = 4
_APPLIED = (b"OK", b"REPEATED")
_SAMPLING = TypeAdapter(SamplingParameters)


@dataclass(frozen=True)
class StoreSettings:
    """How the store is reached and how long its records live.

    Attributes:
        url: redis://, rediss:// or unix:// address of the server.
        prefix: What every key starts with.
        session_ttl_seconds: Seconds after its last change that a session is kept.
        lease_seconds: Seconds after its last change that a running session belongs to its owner.
        timeout_seconds: Seconds that one attempt at a command may take.
        num_retries: Further attempts after a failed one, so that a failure shows in bounded time.
        max_connections: Most connections at once; there must be one for each session.
    """

    url: str
    prefix: str = "paceline"
    session_ttl_seconds: int = 3600
    lease_seconds: float = 10.0
    timeout_seconds: float = 1.0
    num_retries: int = 3
    max_connections: int = 1024


class _Answer(NamedTuple):
    code: bytes
    epoch: int
    position: int


class SessionStore:
    """Sessions in Redis, changed by compare-and-set on epoch and position; made by `connect`.

    Every change can be repeated: a repeat answers as the first did and changes nothing, so attempts whose answer
    got lost are simply made again. Each method raises SessionStoreUnavailableError where Redis does not answer within
    its retries or has lost the session.
    """

    def __init__(self, redis: Redis, settings: StoreSettings) -> None:
        self._redis = redis
        self._settings = settings

    @classmethod
    @asynccontextmanager
    async def connect(cls, settings: StoreSettings) -> AsyncIterator["SessionStore"]:
        """Hold connections inside a `with`; the first command finds out if the server is there."""
        pool = ConnectionPool.from_url(
            settings.url,
            max_connections=settings.max_connections,
            protocol=2,  # fewer bytes to parse, and older servers speak it
            socket_timeout=settings.timeout_seconds,
            socket_connect_timeout=settings.timeout_seconds,
            retry=Retry(ExponentialWithJitterBackoff(cap=0.2, base=0.01), settings.num_retries),
        )
        redis = Redis.from_pool(pool)
        try:
            yield cls(redis, settings)
        finally:
            await redis.aclose()

    async def ping(self) -> None:
        """Find out if the server answers."""
        with _unavailable_if_redis_fails():
            await self._redis.ping()

    async def create(self, session: NewSession) -> None:
        """Make a running session of the prompt ids."""
        answer = await self._run(
            session.session_id,
            "create",
            session.epoch,
            _pack(session.prompt_ids),
            self._settings.session_ttl_seconds,
            self._lease_ms,
            *("model", session.model, "sampling", _SAMPLING.dump_json(session.sampling)),
            *("digest", session.digest),
            *_owner_fields(session.owners),
        )
        if answer.code not in _APPLIED:
            _refuse(session.session_id, session.epoch, answer)

    async def commit(self, session_id: str, epoch: int, commit: Commit) -> None:
        """Append the ids of a round; raises StaleEpochError where another owner has taken over."""
        answer = await self._run(
            session_id,
            "commit",
            epoch,
            commit.position,
            _pack(commit.ids),
            commit.digest,
            commit.status.value,
            self._settings.session_ttl_seconds,
            self._lease_ms,
        )
        if answer.code not in _APPLIED:
            _refuse(session_id, epoch, answer)

    async def finish(self, session_id: str, epoch: int, status: SessionStatus) -> None:
        """End a session that has not finished; raises StaleEpochError where another owner has taken over."""
        ttl_seconds = self._settings.session_ttl_seconds
        answer = await self._run(session_id, "finish", epoch, status.value, ttl_seconds)
        if answer.code not in _APPLIED:
            _refuse(session_id, epoch, answer)

    async def acquire(self, session_id: str, at_least: int, owners: SessionOwners) -> int:
        """Take a session over and return its new epoch, higher than `at_least` and than any before.

        A repeat whose first answer got lost takes one epoch more, which does no harm.
        """
        answer = await self._run(
            session_id,
            "acquire",
            at_least,
            self._settings.session_ttl_seconds,
            self._lease_ms,
            *_owner_fields(owners),
        )
        if answer.code not in _APPLIED:
            _refuse(session_id, at_least, answer)
        return answer.epoch

    async def load(self, session_id: str) -> SessionRecord | None:
        """Return all of a session; None where there is none."""
        code, epoch, _, *found = await self._call(session_id, "load")
        if code == b"NOT_FOUND":
            return None
        flat, packed_ids = found
        return _record(session_id, epoch, dict(zip(flat[::2], flat[1::2], strict=True)), packed_ids)

    @property
    def _lease_ms(self) -> int:
        return round(self._settings.lease_seconds * 1000)

    async def _run(self, session_id: str, command: str, *arguments: str | float | bytes) -> _Answer:
        return _Answer(*(await self._call(session_id, command, *arguments)))

    async def _call(self, session_id: str, command: str, *arguments: str | float | bytes) -> list[Any]:
        # The braces keep the keys of a session in one slot of a cluster.
        family = f"{self._settings.prefix}:{{{session_id}}}"
        parts = (f"{family}:state", f"{family}:ids", command, *arguments)
        with _unavailable_if_redis_fails():
            try:
                answer = await self._redis.execute_command("EVALSHA", _SHA, 2, *parts)
            except NoScriptError:  # a server that has been restarted or is new to us
                answer = await self._redis.execute_command("EVAL", _SCRIPT, 2, *parts)
        assert isinstance(answer, list), answer
        return answer


class _unavailable_if_redis_fails:  # noqa: N801, a block reads best in lower case
    """Turns whatever Redis or its client raises into SessionStoreUnavailableError."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if isinstance(error, RedisError | OSError):
            message = f"the session store does not answer ({type(error).__name__}: {error}); try again later"
            raise SessionStoreUnavailableError(message) from error


def _pack(ids: Sequence[int]) -> bytes:
    return struct.pack(f"<{len(ids)}I", *ids)


def _unpack(packed_ids: bytes) -> tuple[int, ...]:
    return struct.unpack(f"<{len(packed_ids) // _BYTES_PER_ID}I", packed_ids)


def _refuse(session_id: str, epoch: int, answer: _Answer) -> NoReturn:
    code = answer.code.decode()
    if code == "STALE_EPOCH":
        raise StaleEpochError(
            f"the session {session_id} has another owner now; go on from there",
            session_id=session_id,
            epoch=epoch,
            known_epoch=answer.epoch,
        )
    raise SessionStoreUnavailableError(
        f"the session store no longer holds the session {session_id} as it was acknowledged ({code}); start again",
        session_id=session_id,
        code=code,
        epoch=epoch,
        known_epoch=answer.epoch,
        known_position=answer.position,
    )


def _owner_fields(owners: SessionOwners) -> Iterator[str]:
    for pool, owner in (("target", owners.target), ("draft", owners.draft)):
        yield from (f"{pool}_replica", owner.replica_id if owner else "")
        yield from (f"{pool}_incarnation", owner.incarnation if owner else "")


def _record(session_id: str, epoch: int, fields: dict[bytes, bytes], packed_ids: bytes) -> SessionRecord:
    target, draft = _owner(fields, b"target"), _owner(fields, b"draft")
    assert target is not None, "every session has a target"
    return SessionRecord(
        session_id,
        epoch,
        SessionStatus(fields[b"status"].decode()),
        fields[b"model"].decode(),
        _unpack(packed_ids),
        int(fields[b"num_prompt_ids"]),
        fields[b"digest"],
        _SAMPLING.validate_json(fields[b"sampling"]),
        SessionOwners(target, draft),
        int(fields[b"lease_deadline_ms"]),
    )


def _owner(fields: dict[bytes, bytes], pool: bytes) -> CacheOwner | None:
    replica_id = fields[pool + b"_replica"].decode()
    return CacheOwner(replica_id, fields[pool + b"_incarnation"].decode()) if replica_id else None
