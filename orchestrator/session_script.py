"""Runs session_store.lua at the server that has a session's keys."""

import asyncio
import hashlib
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from redis.asyncio import Redis
from redis.exceptions import NoScriptError

from orchestrator.redis_connection import RedisClient, unavailable_if_redis_fails
from orchestrator.session_fields import Value

_SCRIPT = Path(__file__).with_name("session_store.lua").read_bytes()
_SHA = hashlib.sha1(_SCRIPT, usedforsecurity=False).hexdigest()  # EVALSHA names scripts so
_MAX_BATCH = 128  # calls that are sent before the first answer is read


class Call(NamedTuple):
    """One command of the script and its arguments."""

    session_id: str
    command: str
    arguments: tuple[Value, ...] = ()


class SessionScript:
    """The script, and where the keys of sessions are.

    Raises SessionStoreUnavailableError where the server does not answer within `deadline_seconds`.
    """

    def __init__(self, redis: RedisClient, prefix: str, deadline_seconds: float) -> None:
        self._redis = redis
        self._prefix = prefix
        self._deadline_seconds = deadline_seconds

    async def run(self, call: Call) -> list[Any]:
        """Return the answer to one call."""
        with unavailable_if_redis_fails():
            async with asyncio.timeout(self._deadline_seconds):
                return await self._answer(call)

    async def run_all(self, calls: Sequence[Call]) -> list[list[Any]]:
        """Return the answers to calls, which are not waited for one by one."""
        answers: list[list[Any]] = []
        waiting = iter(calls)
        while batch := list(islice(waiting, _MAX_BATCH)):
            with unavailable_if_redis_fails():
                async with asyncio.timeout(self._deadline_seconds):
                    answers += await self._answers(batch)
        return answers

    def state_pattern(self) -> str:
        """Return the pattern of SCAN that all states match."""
        return f"{_escaped(self._prefix)}:{{*}}:state"

    def session_of(self, state_key: bytes) -> str:
        """Return the session of a state's key."""
        return state_key.decode().removeprefix(f"{self._prefix}:{{").removesuffix("}:state")

    async def _answers(self, calls: Sequence[Call]) -> list[list[Any]]:
        # A cluster's pipeline closes the client for everyone when a node fails, so there calls go side by side.
        if not isinstance(self._redis, Redis):
            return await asyncio.gather(*map(self._answer, calls))
        async with self._redis.pipeline(transaction=False) as pipeline:
            for call in calls:
                pipeline.execute_command("EVALSHA", _SHA, *self._parts(call))
            answers = await pipeline.execute(raise_on_error=False)
        return [await self._made_good(call, answer) for call, answer in zip(calls, answers, strict=True)]

    async def _made_good(self, call: Call, answer: Any) -> list[Any]:
        if isinstance(answer, NoScriptError):
            return await self._answer(call)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def _answer(self, call: Call) -> list[Any]:
        parts = self._parts(call)
        try:
            answer = await self._redis.execute_command("EVALSHA", _SHA, *parts)
        except NoScriptError:  # a server that has been restarted or is new to us
            answer = await self._redis.execute_command("EVAL", _SCRIPT, *parts)
        assert isinstance(answer, list), answer
        return answer

    def _parts(self, call: Call) -> tuple[Value, ...]:
        # The braces keep the keys of a session in one slot of a cluster.
        family = f"{self._prefix}:{{{call.session_id}}}"
        return (2, f"{family}:state", f"{family}:ids", call.command, *call.arguments)


def _escaped(text: str) -> str:
    return "".join(f"\\{character}" if character in "*?[]\\" else character for character in text)
