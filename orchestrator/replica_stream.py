"""One long-lived stream to one replica, shared by all sessions."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, Protocol

import grpc.aio

from orchestrator.errors import ReplicaUnavailableError
from orchestrator.replica_pulse import EngineProgress, ReplicaPulse
from orchestrator.replica_watch import Loss
from orchestrator.rounds import RoundKey
from orchestrator.waiting_rounds import WaitingRounds
from paceline.serving.status import error_reason

# A frame stays well below the replicas' limit on a message; one large prompt still goes alone.
MAX_FRAME_BYTES = 1 << 20

# What a replica says when it ends a stream by itself; whatever else ends one is a lost connection.
_ANNOUNCED_REASONS = frozenset({"DRAINING", "MODEL_NOT_READY"})


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

    def progress(self, frame: Any) -> EngineProgress | None:
        """Return what a frame says of the replica's engine, if it does."""
        ...


class _QueuedRound(NamedTuple):
    key: RoundKey
    message: WireMessage
    answered: asyncio.Future[Any]


class ReplicaStream:
    """Sends the rounds of all sessions as frames and hands each result to whoever waits for it.

    What is queued when the writer gets its turn goes out as one frame. Results that nobody waits for, repeats for
    example, are dropped. When the stream has ended, every waiting round fails with ReplicaUnavailableError.

    Attributes:
        waiting: The rounds that are not answered.
        num_dropped_results: Results that nobody waited for.
    """

    def __init__(
        self,
        address: str,
        call: Any,
        framing: Framing,
        pulse: ReplicaPulse,
        grown: Callable[[], None] = lambda: None,
    ) -> None:
        self.waiting = WaitingRounds()
        self.num_dropped_results = 0
        self._address = address
        self._call = call
        self._framing = framing
        self._pulse = pulse
        self._grown = grown
        self._queued: deque[_QueuedRound] = deque()
        self._has_queued = asyncio.Event()
        self._loss: Loss | None = None

    def send(
        self, key: RoundKey, message: WireMessage, deadline_seconds: float | None = None
    ) -> asyncio.Future[Any]:
        """Queue a round; the future has its result message, or ReplicaUnavailableError once the stream ends."""
        answered = self.waiting.add(key, deadline_seconds)
        if self._loss is not None:
            self.end(self._loss)
            return answered
        self._queued.append(_QueuedRound(key, message, answered))
        self._has_queued.set()
        return answered

    def abandon(self, key: RoundKey, answered: asyncio.Future[Any]) -> asyncio.Future[Any] | None:
        """Take back the round of a future that was cancelled; where it has been sent, return who gets its answer."""
        for queued in self._queued:
            if queued.answered is answered:
                self._queued.remove(queued)
                self.waiting.discard(key, answered)
                return None
        return self.waiting.heir(key, answered)

    async def run(self, until_hung: Callable[[], Any]) -> Loss:
        """Carry frames until the stream ends or `until_hung` does; returns why. `end` must follow."""
        writer = asyncio.create_task(self._write())
        ends = [asyncio.create_task(self._read()), asyncio.create_task(until_hung())]
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            return next(end.result() for end in ends if end.done())
        finally:
            for task in (writer, *ends):
                task.cancel()
            self._call.cancel()

    def end(self, loss: Loss) -> None:
        """Have every waiting round, and whatever is sent from now on, fail with ReplicaUnavailableError."""
        self._loss = loss
        message = f"the replica at {self._address} went away: {loss.cause}"
        self.waiting.fail_all(lambda: ReplicaUnavailableError(loss.reason, message, address=self._address))
        self._queued.clear()

    async def _read(self) -> Loss:
        try:
            async for frame in self._call:
                self._dispatch(frame)
        except grpc.aio.AioRpcError as error:
            reason, message, _ = error_reason(error)
            if reason in _ANNOUNCED_REASONS:
                return Loss(reason, message)
            return Loss("CONNECTION_LOST", f"{message} ({reason})")
        return Loss("CONNECTION_LOST", "it ended the stream")

    def _dispatch(self, frame: Any) -> None:
        if self._pulse.hear(time.monotonic(), self._framing.progress(frame)):
            self._grown()
        for result in self._framing.results(frame):
            answered = self.waiting.take(RoundKey(result.session_id, result.round))
            if answered is None:
                self.num_dropped_results += 1
            elif not answered.done():
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
            pass  # the reader learns the cause

    def _next_messages(self) -> list[WireMessage]:
        """Take what may go into one frame: at most one round a session, at most MAX_FRAME_BYTES."""
        messages: dict[str, WireMessage] = {}
        num_bytes = 0
        while self._queued and self._queued[0].key.session_id not in messages:
            num_bytes += self._queued[0].message.ByteSize()
            if messages and num_bytes > MAX_FRAME_BYTES:
                break
            queued = self._queued.popleft()
            messages[queued.key.session_id] = queued.message
        return list(messages.values())
