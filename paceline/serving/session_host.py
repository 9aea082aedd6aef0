"""What both model services are around their rounds: a model, a table of sessions, streams that drain."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from typing import Any, Generic, TypeVar

from paceline.engine.sequence import Sequence
from paceline.sampling.structure import StructureCompiler
from paceline.serving.config import ModelServiceConfig
from paceline.serving.errors import DrainingError, ModelNotReadyError
from paceline.serving.frames import Frame, FrameExchange, SignsOfLife
from paceline.serving.model_engine import ModelEngine
from paceline.serving.model_host import HostedModel
from paceline.serving.round_messages import check_releases
from paceline.serving.session import Session
from paceline.serving.session_point import SessionPoint
from paceline.serving.session_table import RoundKey, SessionLimits, SessionTable
from paceline.v1 import round_pb2

Q = TypeVar("Q")
A = TypeVar("A")
S = TypeVar("S", bound=Session)


class SessionHost(Generic[S]):
    """A hosted model and its sessions.

    Its members raise ModelNotReadyError until `using` is entered, and `exchange` and `play` raise DrainingError once
    `draining` is set.
    """

    def __init__(
        self,
        make_session: Callable[[str, ModelEngine, int, StructureCompiler | None, Sequence | None], S],
        config: ModelServiceConfig,
        draining: asyncio.Event,
    ) -> None:
        self._make_session = make_session
        self._limits = SessionLimits(
            config.max_sessions,
            config.session_idle_seconds,
            config.session_protect_seconds,
            config.orphan_seconds,
        )
        self._progress_seconds = config.progress_seconds
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
            sessions.close(_draining())
            self._model = self._sessions = None

    def exchange(
        self,
        begin: Callable[[Q], Iterable[Awaitable[A]]],
        frames: AsyncIterator[Q],
        written: Callable[[list[A]], None] = lambda _: None,
    ) -> AsyncGenerator[Frame[A], None]:
        """Answer a stream of frames; see FrameExchange."""
        if self._draining.is_set():
            raise _draining()
        signs_of_life = SignsOfLife(self._progress_seconds, self.model.engine.progress)
        return FrameExchange(begin, self._draining, written, signs_of_life).answers(frames)

    async def play(
        self, point: SessionPoint, key: RoundKey, make_answer: Callable[[S], Awaitable[Any]]
    ) -> Any:
        """Return the answer of a round; see `SessionTable.play`. Raises DrainingError for all but what runs already."""
        if self._draining.is_set():
            raise _draining()
        return await self.sessions.play(point, key, make_answer)

    def release(self, releases: Iterable[round_pb2.SessionRelease]) -> int:
        """Free the sessions and return how many were known; raises InvalidRequestError."""
        check_releases(releases)
        return sum(self.sessions.release(release.session_id, release.epoch) for release in releases)

    def _open_session(self, session_id: str, epoch: int, fork_of: Sequence | None) -> S:
        model = self.model
        return self._make_session(session_id, model.engine, epoch, model.structures, fork_of)


def _draining() -> DrainingError:
    return DrainingError("the replica is shutting down; use another one")


def _not_ready() -> ModelNotReadyError:
    return ModelNotReadyError("the model is still loading and being tested; try again when health is SERVING")
