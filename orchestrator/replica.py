"""One replica of a pool: connected, described, and connected again whenever it was gone."""

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import grpc.aio
import structlog

from orchestrator.answer_clock import AnswerClock
from orchestrator.circuit_breaker import CircuitBreaker
from orchestrator.errors import ReplicaUnavailableError
from orchestrator.release_line import ReleaseLine
from orchestrator.replica_client import ReplicaClient, ReplicaDescription, SessionRelease
from orchestrator.replica_liveness import LivenessLimits
from orchestrator.replica_pace import ReplicaPace
from orchestrator.replica_pulse import ReplicaPulse
from orchestrator.replica_stream import ReplicaStream
from orchestrator.replica_watch import Loss, ReplicaWatch
from orchestrator.rounds import ProposalRequest, VerifyRound, key_of
from orchestrator.session_record import CacheOwner
from paceline.client.replica_state import ReplicaState
from paceline.errors import PacelineError
from paceline.security.renewed_channel import RenewedChannel, renewed_channel
from paceline.security.trust import Trust
from paceline.serving.errors import PeerNotAllowedError
from paceline.serving.placement import Placement
from paceline.serving.status import error_reason

Request = TypeVar("Request", VerifyRound, ProposalRequest)
Answer = TypeVar("Answer")

_KEEPALIVE_MS = 10_000
_KEEPALIVE_TIMEOUT_MS = 5_000
# An honest frame has a few KiB a session, with logprobs of a whole prompt some MiB; a replica that was taken over
# must not fill our memory.
_MAX_FRAME_BYTES = 64 << 20
_CHANNEL_OPTIONS = (
    ("grpc.keepalive_time_ms", _KEEPALIVE_MS),
    ("grpc.keepalive_timeout_ms", _KEEPALIVE_TIMEOUT_MS),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", _MAX_FRAME_BYTES),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.use_local_subchannel_pool", 1),
)

_log = structlog.get_logger()


@dataclass(frozen=True)
class ReconnectSettings:
    """How often a replica that is gone is looked for: after a random part of a time that doubles."""

    first_seconds: float = 0.05
    last_seconds: float = 1.0
    timeout_seconds: float = 5.0  # of GetModel and of a release


class Standing(NamedTuple):
    """Whether sessions are sent to a replica, and why not where there is no connection that could carry them."""

    state: ReplicaState
    reason: str = ""


class PoolGate(Protocol):
    """What a replica asks of its pool."""

    def admit(self, description: ReplicaDescription) -> None:
        """Raise a PacelineError unless the pool can use such a replica."""
        ...

    def gained(self) -> None:
        """Take note that a replica has become usable."""
        ...


class Replica(Generic[Request, Answer]):
    """One address of a pool.

    Attributes:
        address: HOST:PORT.
        description: What answers there; None while nothing does that the pool can use.
        breaker: Open while the replica is better left alone though it is connected.
        pulse: The signs of life of the process that last answered there.
        clock: How long that process takes for its answers.
        pace: How fast it is, and what its sessions have learned of speculating with it.
        num_sessions: Sessions of this orchestrator that are bound to it.
        num_dropped_results: Results that came from it and that nobody waited for.
    """

    def __init__(
        self,
        address: str,
        make_client: Callable[[grpc.aio.Channel], ReplicaClient[Request, Answer]],
        breaker: CircuitBreaker,
        settings: ReconnectSettings,
        limits: LivenessLimits,
        trust: Trust | None = None,
    ) -> None:
        self.address = address
        self.description: ReplicaDescription | None = None
        self.breaker = breaker
        self.num_sessions = 0
        self.num_dropped_results = 0
        self._settings = settings
        self._limits = limits
        self._trust = trust
        self._make_client = make_client
        self._stream: ReplicaStream | None = None
        self._loss = Loss("NOT_CONNECTED", "it never was")
        self._absence = Standing(ReplicaState.GONE, self._loss.reason)  # while there is no description
        self._releases = ReleaseLine(address, self._send_releases)
        self._meet(None, None)

    @property
    def is_usable(self) -> bool:
        """Whether sessions may be bound to it now."""
        is_there = self.description is not None and not self._is_draining
        return is_there and not self.breaker.is_open(time.monotonic())

    @property
    def standing(self) -> Standing:
        """Whether sessions are sent to it, in the words of operators."""
        if self.description is None:
            return self._absence
        if self._is_draining:
            return Standing(ReplicaState.DRAINING, "DRAINING")
        is_resting = self.breaker.is_open(time.monotonic())
        return Standing(ReplicaState.RESTING if is_resting else ReplicaState.READY)

    @property
    def owner(self) -> CacheOwner | None:
        """The process that last answered there; None where none ever did."""
        return self._owner

    async def ask(self, request: Request, deadline_seconds: float | None = None) -> Answer:
        """Have a round answered; raises ReplicaUnavailableError, or RoundFailedError where it was refused.

        A replica that has never sent progress is given up with all its rounds once one of them is unanswered after
        `deadline_seconds`; any other as soon as it shows no progress.

        Cancelling it means that the session ends here: if the round has been sent, the session is released once
        more when the answer is there, because the round may have overtaken the release.
        """
        stream = self._stream
        if stream is None:
            message = f"the replica at {self.address} is not connected: {self._loss.cause}"
            raise ReplicaUnavailableError(self._loss.reason, message, address=self.address)
        key = key_of(request)
        answered = stream.send(key, self._client.message(request), deadline_seconds)
        try:
            result = await answered
        except asyncio.CancelledError:
            if (unheard := stream.abandon(key, answered)) is not None:
                release = SessionRelease(request.point.session_id, request.point.epoch)
                unheard.add_done_callback(partial(self._release_again, release))
            raise
        return self._answer(result)

    def release(self, session_id: str, epoch: int) -> None:
        """Have a session's cache freed soon."""
        self._releases.add(SessionRelease(session_id, epoch))

    async def run(self, pool: PoolGate) -> None:
        """Stay connected until cancelled."""
        async with renewed_channel(self.address, self._trust, _CHANNEL_OPTIONS) as channel:
            try:
                await self._stay_connected(channel, pool)
            finally:
                await self._releases.drain()

    async def _stay_connected(self, channel: RenewedChannel, pool: PoolGate) -> None:
        wait_seconds = self._settings.first_seconds
        while True:
            # Its certificates may be others since the last time.
            self._client = self._make_client(channel.newest())
            failure: grpc.aio.AioRpcError | None = None
            try:
                if await self._connect(pool):
                    wait_seconds = self._settings.first_seconds
            except grpc.aio.AioRpcError as error:
                failure = error
            except PacelineError as error:
                self._note_refusal(error.reason, error.message)
            pause_seconds = random.uniform(0.5, 1.0) * wait_seconds  # noqa: S311, jitter
            meanwhile = [self._note_absence(failure, channel, pause_seconds)] if failure is not None else []
            await asyncio.gather(asyncio.sleep(pause_seconds), *meanwhile)
            wait_seconds = min(2 * wait_seconds, self._settings.last_seconds)

    async def _note_absence(
        self, failure: grpc.aio.AioRpcError, channel: RenewedChannel, patience_seconds: float
    ) -> None:
        """Find out why nothing usable answers; gRPC does not tell why there is no TLS connection."""
        reason, message, _ = error_reason(failure)
        is_nobody_there = reason in {"UNAVAILABLE", "DEADLINE_EXCEEDED"}  # gRPC's own words
        fault = await channel.handshake_fault(patience_seconds) if reason == "UNAVAILABLE" else None
        if fault is not None:
            self._note_refusal(fault.reason, fault.message)
        elif reason == PeerNotAllowedError.reason:
            self._note_refusal(reason, message)
        else:
            self._absence = Standing(ReplicaState.GONE, self._loss.reason if is_nobody_there else reason)
            _log.debug("replica_not_ready", address=self.address, reason=reason, message=message)

    def _note_refusal(self, reason: str, message: str) -> None:
        self._absence = Standing(ReplicaState.REFUSED, reason)
        _log.warning("replica_refused", address=self.address, reason=reason, message=message)

    async def _connect(self, pool: PoolGate) -> bool:
        """Serve rounds over one connection until it breaks; returns whether there was one."""
        description = await self._client.describe(self._settings.timeout_seconds)
        pool.admit(description)
        if description.owner != self._owner:
            self._meet(description.owner, description.placement)
        elif self._is_draining:
            self._absence = Standing(ReplicaState.DRAINING, "DRAINING")
            return False
        await self._serve(description, pool)
        return True

    async def _serve(self, description: ReplicaDescription, pool: PoolGate) -> None:
        stream = ReplicaStream(
            self.address, self._client.open_stream(), self._client, self.pulse, self._note_growth
        )
        watch = ReplicaWatch(self.pulse, stream.waiting, self._limits, self._is_there)
        self._stream, self.description = stream, description
        _log.info("replica_ready", address=self.address, replica_id=description.owner.replica_id)
        pool.gained()
        self._loss = Loss("CONNECTION_LOST", "the orchestrator closed the connection")
        try:
            self._loss = await stream.run(watch.until_hung)
        finally:
            self.description = self._stream = None
            self.num_dropped_results += stream.num_dropped_results
            self._note_loss(self._loss.reason)
            self._absence = Standing(ReplicaState.GONE, self._loss.reason)
            stream.end(self._loss)  # those that wait learn of it when this replica is no longer chosen
            _log.info("replica_gone", address=self.address, **self._loss._asdict())

    def _meet(self, owner: CacheOwner | None, placement: Placement | None) -> None:
        """Forget what was learnt of the process before this one."""
        now = time.monotonic()
        self._owner = owner
        self.pulse = ReplicaPulse(now, now)
        self.clock = AnswerClock()
        self.pace = ReplicaPace(placement)
        self.breaker.succeed()
        self._is_draining = self._was_given_up = False

    def _answer(self, result: Any) -> Answer:
        try:
            return self._client.answer(result)
        except ReplicaUnavailableError as error:
            self._note_loss(error.reason)
            raise

    def _note_loss(self, reason: str) -> None:
        if reason == "DRAINING":  # for good: this process takes no session again
            self._is_draining = True
        elif reason in {"SILENT", "ENGINE_FAILED"}:
            self._was_given_up = True
            self.breaker.fail(time.monotonic())

    def _note_growth(self) -> None:
        """Let all sessions come back to a replica whose engine goes on again."""
        if self._was_given_up:
            self._was_given_up = False
            self.breaker.succeed()

    async def _is_there(self) -> bool:
        try:
            await self._client.describe(self._limits.silence_seconds)
        except grpc.aio.AioRpcError:
            return False
        return True

    async def _send_releases(self, releases: Sequence[SessionRelease]) -> None:
        await self._client.release(releases, self._settings.timeout_seconds)

    def _release_again(self, release: SessionRelease, answered: asyncio.Future[Any]) -> None:
        if answered.cancelled() or answered.exception() is None:
            self._releases.add(release)
