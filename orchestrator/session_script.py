"""Runs session_store.lua at the server that has a session's keys."""

import asyncio
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from redis.asyncio import Redis

from orchestrator.lua_script import LuaScript
from orchestrator.redis_connection import RedisClient, unavailable_if_redis_fails
from orchestrator.redis_watch import RedisWatch
from orchestrator.session_fields import Value

_SCRIPT = LuaScript(Path(__file__).with_name("session_store.lua"))
MAX_BATCH = 64  # calls that the server runs in one go, in which nobody else is served: below a millisecond


class Call(NamedTuple):
    """One command of the script and its arguments."""

    session_id: str
    command: str
    arguments: tuple[Value, ...] = ()


Outcome = list[Any] | BaseException  # an answer, or the error of a call that failed alone


class SessionScript:
    """The script, and where the keys of sessions are.

    Raises SessionStoreUnavailableError where the server does not answer within `deadline_seconds`.
    """

    def __init__(self, redis: RedisClient, prefix: str, deadline_seconds: float, watch: RedisWatch) -> None:
        self._redis = redis
        self._watch = watch
        self._prefix = prefix
        self._deadline_seconds = deadline_seconds

    async def run(self, call: Call) -> list[Any]:
        """Return the answer to one call."""
        with self._watch.timing(call.command), unavailable_if_redis_fails():
            async with asyncio.timeout(self._deadline_seconds):
                return await self._answer(call)

    async def run_all(self, calls: Sequence[Call]) -> list[list[Any]]:
        """Return the answers to calls, which are not waited for one by one."""
        answers: list[list[Any]] = []
        waiting = iter(calls)
        while batch := list(islice(waiting, MAX_BATCH)):
            answers += map(answer_of, await self.outcomes(batch))
        return answers

    async def outcomes(self, calls: Sequence[Call]) -> Sequence[Outcome]:
        """Return what came of each of at most MAX_BATCH calls, which one failure does not keep from others."""
        with self._watch.timing(calls[0].command), unavailable_if_redis_fails():
            async with asyncio.timeout(self._deadline_seconds):
                if len(calls) == 1:
                    return [await self._answer(calls[0])]
                if not self.has_one_server:
                    return await asyncio.gather(*map(self._answer, calls), return_exceptions=True)
                return await _SCRIPT.run(self._redis, *self._parts_of_batch(calls))

    @property
    def has_one_server(self) -> bool:
        """Whether all keys are at the same server, so that one call of the script may have those of many sessions."""
        return isinstance(self._redis, Redis)

    def state_pattern(self) -> str:
        """Return the pattern of SCAN that all states match."""
        return f"{_escaped(self._prefix)}:{{*}}:state"

    def session_of(self, state_key: bytes) -> str:
        """Return the session of a state's key."""
        return state_key.decode().removeprefix(f"{self._prefix}:{{").removesuffix("}:state")

    async def _answer(self, call: Call) -> list[Any]:
        return await _SCRIPT.run(self._redis, 2, *self._keys(call), call.command, *call.arguments)

    def _parts_of_batch(self, calls: Sequence[Call]) -> Iterator[Value]:
        yield 2 * len(calls)
        for call in calls:
            yield from self._keys(call)
        yield "batch"
        for call in calls:
            yield len(call.arguments)
            yield call.command
            yield from call.arguments

    def _keys(self, call: Call) -> tuple[str, str]:
        # The braces keep the keys of a session in one slot of a cluster.
        family = f"{self._prefix}:{{{call.session_id}}}"
        return f"{family}:state", f"{family}:ids"


def answer_of(outcome: Outcome) -> list[Any]:
    """Return the answer to a call; raises SessionStoreUnavailableError where the call failed at the server."""
    with unavailable_if_redis_fails():
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome


def _escaped(text: str) -> str:
    return "".join(f"\\{character}" if character in "*?[]\\" else character for character in text)
