"""What both model services are around their rounds: a model, a table of sessions, streams that drain."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from typing import Generic, TypeVar

from paceline.sampling.structure import StructureCompiler
from paceline.serving.config import ModelServiceConfig
from paceline.serving.errors import DrainingError, ModelNotReadyError
from paceline.serving.frames import FrameExchange
from paceline.serving.model_engine import ModelEngine
from paceline.serving.model_host import HostedModel
from paceline.serving.round_messages import check_releases
from paceline.serving.session import Session
from paceline.serving.session_table import SessionLimits, SessionTable
from paceline.v1 import round_pb2

Q = TypeVar("Q")
A = TypeVar("A")
S = TypeVar("S", bound=Session)


class SessionHost(Generic[S]):
    """A hosted model and its sessions.

    Its members raise ModelNotReadyError until `using` is entered, and `exchange` raises DrainingError once
    `draining` is set.
    """

    def __init__(
        self,
        make_session: Callable[[str, ModelEngine, int, StructureCompiler | None], S],
        config: ModelServiceConfig,
        draining: asyncio.Event,
    ) -> None:
        self._make_session = make_session
        self._limits = SessionLimits(config.max_sessions, config.session_idle_seconds)
        self._draining = draining
        self._model: HostedModel | None = None
        self._sessions: SessionTable[S] | None = None

    @property
    def model(self) -> HostedModel:
        """The model."""
        if self._model is None:
            raise _not_ready()
        return self._model

    @property
    def sessions(self) -> SessionTable[S]:
        """The sessions."""
        if self._sessions is None:
            raise _not_ready()
        return self._sessions

    @asynccontextmanager
    async def using(self, model: HostedModel) -> AsyncIterator[None]:
        """Serve a model for as long as the block runs, then free all its sessions."""
        self._model = model
        sessions = self._sessions = SessionTable(self._open_session, self._limits)
        expiry = asyncio.create_task(sessions.expire_idle_sessions())
        try:
            yield
        finally:
            expiry.cancel()
            with suppress(asyncio.CancelledError):
                await expiry
            sessions.close()
            self._model = self._sessions = None

    def exchange(
        self,
        begin: Callable[[Q], Iterable[Awaitable[A]]],
        frames: AsyncIterator[Q],
        written: Callable[[list[A]], None] = lambda _: None,
    ) -> AsyncIterator[list[A]]:
        """Answer a stream of frames; see FrameExchange."""
        if self._draining.is_set():
            raise DrainingError("the replica is shutting down; use another one")
        if self._model is None:
            raise _not_ready()
        return FrameExchange(begin, self._draining, written).answers(frames)

    def release(self, releases: Iterable[round_pb2.SessionRelease]) -> int:
        """Free the sessions and return how many were known; raises InvalidRequestError."""
        check_releases(releases)
        return sum(self.sessions.release(release.session_id, release.epoch) for release in releases)

    def _open_session(self, session_id: str, epoch: int) -> S:
        model = self.model
        return self._make_session(session_id, model.engine, epoch, model.structures)


def _not_ready() -> ModelNotReadyError:
    return ModelNotReadyError("the model is still loading and being tested; try again when health is SERVING")
