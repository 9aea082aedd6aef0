"""A client that goes on where its stream broke, on the wire contract alone so that it checks the product's own."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import grpc
import grpc.aio

from paceline.serving.status import error_reason
from paceline.v1 import orchestrator_service_pb2 as pb
from paceline.v1.orchestrator_service_pb2_grpc import OrchestratorServiceStub
from tests.chaos.job import Job
from tests.chaos.record import Record
from tests.chaos.transcript import Transcript, WrongStreamError, copy_of

# A stream that says nothing for so long is given up: its connection may be dead without anybody knowing.
SILENCE_SECONDS = 5.0
BACK_OFF_SECONDS = (0.05, 1.0)
_CHANNEL_OPTIONS = (
    ("grpc.initial_reconnect_backoff_ms", 100),
    # How long a connection may take to come about, whatever the name says: the machine is busy.
    ("grpc.min_reconnect_backoff_ms", 1_000),
    ("grpc.max_reconnect_backoff_ms", 500),
    ("grpc.use_local_subchannel_pool", 1),
)
# A client that meets these goes on; anything else is a defect.
_PASSING = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
}

Disturbance = Callable[["Client", Transcript], Awaitable[None]]


class StreamBrokenError(Exception):
    """A stream ended before its summary, or was left (`reason`) for `away_seconds`."""

    def __init__(self, reason: str, away_seconds: float = 0.0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.away_seconds = away_seconds


class Client:
    """Gets one job after the other answered, at whichever orchestrator answers.

    `may_lose_sessions` allows SESSION_NOT_FOUND, after which the job begins again.
    """

    def __init__(
        self, addresses: Sequence[str], channels: Sequence[grpc.aio.Channel], record: Record,
        dice: random.Random, *, may_lose_sessions: bool = False,
    ) -> None:  # fmt: skip
        self._stubs = [OrchestratorServiceStub(channel) for channel in channels]
        self._addresses = list(addresses)
        self._record = record
        self._dice = dice
        self._may_lose_sessions = may_lose_sessions
        self._at = dice.randrange(len(self._stubs))
        self._disturbance: Disturbance | None = None
        self._last_event_at = 0.0
        self._longest_wait = 0.0
        self._is_waiting_since_break = False

    def disturb(self, disturbance: Disturbance) -> None:
        """Have something happen to the client after its next chunk."""
        self._disturbance = disturbance

    async def answer(self, job: Job, request: pb.GenerateRequest) -> Transcript:
        """Get a job's request answered, however often that takes; what must not be goes to the record."""
        transcript = Transcript(job)
        back_off_seconds, _ = BACK_OFF_SECONDS
        self._longest_wait = 0.0
        self._is_waiting_since_break = False
        self.be_present()
        while not transcript.is_finished:
            num_ids = len(transcript.ids)
            try:
                await self._follow(transcript, self._request(request, transcript))
            except StreamBrokenError as broken:
                self._note_break(broken.reason)
                if broken.away_seconds:
                    await asyncio.sleep(broken.away_seconds)
                    self.be_present()
                if len(transcript.ids) > num_ids:
                    back_off_seconds, _ = BACK_OFF_SECONDS
                await asyncio.sleep(self._dice.uniform(0.5, 1) * back_off_seconds)
                back_off_seconds = min(2 * back_off_seconds, BACK_OFF_SECONDS[1])
                self._at = (self._at + 1) % len(self._stubs)
            except WrongStreamError as wrong:
                self._record.wrong.append(str(wrong))
                break
        self._note_end(transcript)
        return transcript

    def be_present(self) -> None:
        """Begin to count waiting from now: the client itself was away."""
        self._last_event_at = time.monotonic()

    async def resume_twice(self, transcript: Transcript) -> list[str]:
        """Resume at two orchestrators at once and return how each stream ended; both must tell the same tokens."""
        copies = [copy_of(transcript) for _ in range(2)]
        request = self._request(pb.GenerateRequest(), transcript)
        ends = await asyncio.gather(
            *(
                self._end_of(copy, self._stubs[(self._at + place) % len(self._stubs)], request)
                for place, copy in enumerate(copies)
            )
        )
        for end in ends:
            if isinstance(end, WrongStreamError):
                raise end
        return [str(end) for end in ends]

    async def _end_of(
        self, transcript: Transcript, stub: OrchestratorServiceStub, request: pb.GenerateRequest
    ) -> str | WrongStreamError:
        try:
            await self._read(transcript, stub.Generate(request), lambda: None)
        except StreamBrokenError as broken:
            return broken.reason
        except WrongStreamError as wrong:
            return wrong
        return "FINISHED"

    def _request(self, request: pb.GenerateRequest, transcript: Transcript) -> pb.GenerateRequest:
        if not transcript.token:
            if transcript.session_ids:
                self._record.num_restarts += 1
            transcript.begin_again()
            return request
        self._record.num_resumes += 1
        return pb.GenerateRequest(
            continuation=pb.Continuation(rollback_token=transcript.token, mode=pb.CONTINUATION_MODE_RESUME)
        )

    async def _follow(self, transcript: Transcript, request: pb.GenerateRequest) -> None:
        call = self._stubs[self._at].Generate(request)
        try:
            await self._read(transcript, call, self._note_event)
        finally:
            call.cancel()

    async def _read(self, transcript: Transcript, call: Any, note_event: Callable[[], None]) -> None:
        """Read a stream to its end; raises StreamBrokenError or WrongStreamError."""
        try:
            while (message := await asyncio.wait_for(call.read(), SILENCE_SECONDS)) is not grpc.aio.EOF:
                transcript.add(message)
                if message.HasField("started"):
                    continue
                note_event()
                if message.HasField("chunk") and self._disturbance is not None:
                    disturbance, self._disturbance = self._disturbance, None
                    await disturbance(self, transcript)
        except TimeoutError:
            raise StreamBrokenError("SILENCE") from None
        except grpc.aio.AioRpcError as error:
            raise self._broken(error, transcript) from error
        if not transcript.is_finished:
            raise WrongStreamError(f"{transcript.job.name}: the stream ended with OK and without a summary")

    def _broken(self, error: grpc.aio.AioRpcError, transcript: Transcript) -> Exception:
        reason, message, _ = error_reason(error)
        if reason == "SESSION_NOT_FOUND" and self._may_lose_sessions:
            transcript.begin_again()
        elif error.code() not in _PASSING:
            return WrongStreamError(
                f"{transcript.job.name}, sessions {sorted(transcript.session_ids)}, after "
                f"{len(transcript.ids)} tokens at {self._addresses[self._at]}: {message} ({reason})"
            )
        return StreamBrokenError(reason)

    def _note_event(self) -> None:
        now = time.monotonic()
        wait = now - self._last_event_at
        self._longest_wait = max(self._longest_wait, wait)
        if self._is_waiting_since_break:
            self._record.pauses.append(wait)
            self._is_waiting_since_break = False
        self._last_event_at = now

    def _note_break(self, reason: str) -> None:
        self._record.breaks[reason] += 1
        self._is_waiting_since_break = True

    def _note_end(self, transcript: Transcript) -> None:
        record = self._record
        record.session_ids |= transcript.session_ids
        record.waits.append(self._longest_wait)
        if transcript.summary is None:
            return
        record.num_finished += 1
        record.num_tokens += len(transcript.ids)
        record.degraded.update(transcript.summary.speculation.num_degraded_rounds)
        if transcript.summary.recovery.num_failovers:
            record.recoveries.append(transcript.summary.recovery)


@asynccontextmanager
async def connected(
    addresses: Sequence[str], record: Record, dice: random.Random, *, may_lose_sessions: bool = False
) -> AsyncIterator[Client]:
    """Hold connections of its own for one client inside the block."""
    async with AsyncExitStack() as stack:
        channels = [
            await stack.enter_async_context(grpc.aio.insecure_channel(address, options=_CHANNEL_OPTIONS))
            for address in addresses
        ]
        yield Client(addresses, channels, record, dice, may_lose_sessions=may_lose_sessions)
