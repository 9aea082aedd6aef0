"""One long-lived stream to one replica, shared by all sessions."""

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import grpc.aio

from orchestrator.errors import ReplicaUnavailableError
from orchestrator.rounds import RoundKey
from paceline.serving.status import error_reason

# A frame stays well below the replicas' limit on a message; one large prompt still goes alone.
MAX_FRAME_BYTES = 1 << 20


class WireMessage(Protocol):
    """A protobuf message."""

    def ByteSize(self) -> int:  # noqa: N802, protobuf's name
        """Return its size on the wire."""
        ...


class ResultMessage(Protocol):
    """A result of a round: a message that names what it answers."""

    session_id: str
    round: int


class Framing(Protocol):
    """How messages of rounds become frames and back."""

    def frame(self, messages: Sequence[Any]) -> Any:
        """Return a frame of request messages of different sessions."""
        ...

    def results(self, frame: Any) -> Iterable[ResultMessage]:
        """Return the result messages of a frame."""
        ...


class ReplicaStream:
    """Sends the rounds of all sessions as frames and hands each result to whoever waits for it.

    What is queued when the writer gets its turn goes out as one frame. Results that nobody waits for, repeats for
    example, are dropped. When the stream breaks, every waiting round fails with ReplicaUnavailableError.
    """

    def __init__(self, address: str, call: Any, framing: Framing) -> None:
        self._address = address
        self._call = call
        self._framing = framing
        self._queued: deque[tuple[RoundKey, WireMessage]] = deque()
        self._has_queued = asyncio.Event()
        self._waiting: dict[RoundKey, asyncio.Future[Any]] = {}
        self._break_cause: str | None = None

    def send(self, key: RoundKey, message: WireMessage) -> asyncio.Future[Any]:
        """Queue a round; the future has its result message, or ReplicaUnavailableError once the stream breaks."""
        answered: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if self._break_cause is not None:
            answered.set_exception(self._broken(self._break_cause))
            return answered
        self._waiting[key] = answered
        self._queued.append((key, message))
        self._has_queued.set()
        return answered

    def withdraw(self, key: RoundKey) -> bool:
        """Take a round back; False if it has been sent."""
        for queued in self._queued:
            if queued[0] == key:
                self._queued.remove(queued)
                del self._waiting[key]
                return True
        return False

    async def run(self) -> None:
        """Carry frames until the stream breaks; returns then."""
        writer = asyncio.create_task(self._write())
        cause = "it ended the stream"
        try:
            async for frame in self._call:
                self._dispatch(frame)
        except grpc.aio.AioRpcError as error:
            reason, message, _ = error_reason(error)
            cause = f"{message} ({reason})"
        finally:
            writer.cancel()
            self._call.cancel()
            self._fail_waiting(cause)

    def _dispatch(self, frame: Any) -> None:
        for result in self._framing.results(frame):
            answered = self._waiting.pop(RoundKey(result.session_id, result.round), None)
            if answered is not None and not answered.done():
                answered.set_result(result)

    async def _write(self) -> None:
        try:
            while True:
                await self._has_queued.wait()
                if messages := self._next_messages():
                    await self._call.write(self._framing.frame(messages))
                if not self._queued:
                    self._has_queued.clear()
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            self._call.cancel()  # the reader then learns the cause

    def _next_messages(self) -> list[WireMessage]:
        """Take what may go into one frame: at most one round a session, at most MAX_FRAME_BYTES."""
        messages: dict[str, WireMessage] = {}
        num_bytes = 0
        while self._queued and self._queued[0][0].session_id not in messages:
            num_bytes += self._queued[0][1].ByteSize()
            if messages and num_bytes > MAX_FRAME_BYTES:
                break
            key, message = self._queued.popleft()
            messages[key.session_id] = message
        return list(messages.values())

    def _fail_waiting(self, cause: str) -> None:
        self._break_cause = cause
        for answered in self._waiting.values():
            if not answered.done():
                answered.set_exception(self._broken(cause))
        self._waiting.clear()
        self._queued.clear()

    def _broken(self, cause: str) -> ReplicaUnavailableError:
        return ReplicaUnavailableError(
            f"the replica at {self._address} went away: {cause}", address=self._address
        )
