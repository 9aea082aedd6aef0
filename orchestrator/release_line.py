"""Releases of one replica's caches, gathered and sent beside the rounds."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import grpc.aio
import structlog

from orchestrator.replica_client import SessionRelease
from paceline.serving.round_messages import MAX_RELEASED_SESSIONS

_log = structlog.get_logger()


class ReleaseLine:
    """Sends what has gathered since the last call in one call.

    A release that fails, or that comes after `drain`, is dropped: the replica frees idle sessions by itself after a
    while.
    """

    def __init__(self, address: str, send: Callable[[Sequence[SessionRelease]], Awaitable[None]]) -> None:
        self._address = address
        self._send = send
        self._gathered: dict[str, SessionRelease] = {}
        self._task: asyncio.Task[None] | None = None
        self._is_draining = False

    def add(self, release: SessionRelease) -> None:
        """Have a session released soon."""
        if self._is_draining:  # a session that was bound to a replica which nobody looks for any more
            return
        self._gathered[release.session_id] = release
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())

    async def drain(self) -> None:
        """Wait until all that was added has been sent or dropped; nothing is sent afterwards."""
        self._is_draining = True
        if self._task is not None:
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        while self._gathered:
            session_ids = list(self._gathered)[:MAX_RELEASED_SESSIONS]
            releases = [self._gathered.pop(session_id) for session_id in session_ids]
            try:
                await self._send(releases)
            except grpc.aio.AioRpcError as error:
                code = error.code().name
                _log.warning("release_failed", address=self._address, num_sessions=len(releases), code=code)
