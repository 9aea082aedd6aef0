"""Replicas that speak the real contracts over real sockets and host the scripted model; faults on demand."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import grpc.aio

from paceline.rounds import prefix_digest
from paceline.serving.errors import DrainingError
from paceline.serving.status import abort
from paceline.v1 import (
    draft_service_pb2,
    draft_service_pb2_grpc,
    model_pb2,
    round_pb2,
    target_service_pb2,
    target_service_pb2_grpc,
)
from tests.orchestrator.byte_tokenizer import VOCABULARY_SIZE
from tests.orchestrator.scripted_model import guess, next_id

# What a fault does to one round: it returns an error to answer with, raises ConnectionError to break the stream,
# waits for as long as it likes, or does nothing.
Fault = Callable[[str, int], Any]


def set_event() -> asyncio.Event:
    event = asyncio.Event()
    event.set()
    return event


async def no_fault(session_id: str, round_number: int) -> round_pb2.RoundError | None:
    return None


@dataclass
class ScriptedReplica:
    """State that both kinds share; `caches` holds each session's ids and epoch.

    While `runs` is cleared nothing at all comes from it, as from a process that is stopped; while `engine_runs` is
    cleared it shows that it stands still. Once `drains` is set its streams end and it takes no further session.
    """

    replica_id: str
    vocabulary_sha256: str
    model_name: str = "scripted"
    max_context_tokens: int = 4096
    numerics_digest: str = "same"
    eos_odds: int = 0
    quality: float = 0.7
    fault: Fault = no_fault
    distributions: Sequence[bytes] = ()  # what a draft claims to have drawn from
    is_ready: bool = True
    progress_seconds: float | None = None  # between signs of life; None sends none, as older versions do
    num_steps: int = 0
    num_available_blocks: int = 100
    runs: asyncio.Event = field(default_factory=set_event)
    engine_runs: asyncio.Event = field(default_factory=set_event)
    answers_twice: bool = False
    nonsense_ids: Sequence[int] = ()  # what a draft proposes instead
    drains: asyncio.Event = field(default_factory=asyncio.Event)
    incarnation: str = field(default_factory=lambda: uuid.uuid4().hex)
    caches: dict[str, list[int]] = field(default_factory=dict)
    epochs: dict[str, int] = field(default_factory=dict)
    released: list[str] = field(default_factory=list)
    frames: list[int] = field(default_factory=list)  # rounds in each frame
    rounds: list[Any] = field(default_factory=list)  # messages, as they came
    address: str = ""
    version: model_pb2.ServiceVersion | None = None  # None tells none, as older releases do
    credentials: grpc.ServerCredentials | None = None  # None serves plain text
    callers: list[str] = field(
        default_factory=list
    )  # names in the certificates of those who asked for the model

    def model(self) -> model_pb2.ModelInfo:
        return model_pb2.ModelInfo(
            name=self.model_name,
            vocabulary_size=VOCABULARY_SIZE,
            vocabulary_sha256=self.vocabulary_sha256,
            max_context_tokens=self.max_context_tokens,
            numerics_digest=self.numerics_digest,
        )

    def info(self) -> model_pb2.ReplicaInfo:
        return model_pb2.ReplicaInfo(
            replica_id=self.replica_id, incarnation=self.incarnation, version=self.version
        )

    def bring_to(self, point: round_pb2.SessionPoint) -> round_pb2.RoundError | None:
        if point.epoch < self.epochs.get(point.session_id, 0):
            return error(grpc.StatusCode.ABORTED, "STALE_EPOCH")
        known = self.caches.get(point.session_id, [])
        if len(known) < point.position or prefix_digest(known[: point.position]) != point.prefix_digest:
            return error(grpc.StatusCode.FAILED_PRECONDITION, "POSITION_MISMATCH")
        assert len(point.committed_ids) > 0
        self.epochs[point.session_id] = point.epoch
        self.caches[point.session_id] = known[: point.position] + list(point.committed_ids)
        return None

    def release(self, sessions: Sequence[round_pb2.SessionRelease]) -> int:
        num_released = 0
        for session in sessions:
            if self.epochs.get(session.session_id, 0) <= session.epoch:
                num_released += self.caches.pop(session.session_id, None) is not None
                self.epochs.pop(session.session_id, None)
                self.released.append(session.session_id)
        return num_released

    def progress(self) -> round_pb2.Progress:
        return round_pb2.Progress(
            num_steps=self.num_steps,
            longest_step_ns=1_000_000,
            num_available_blocks=self.num_available_blocks,
            num_blocks=100,
        )

    async def exchange(
        self, frames: AsyncIterator[Any], rounds_of: Callable[[Any], Any], answer: Callable[[Any], Any]
    ) -> AsyncIterator[Any]:
        results: asyncio.Queue[Any] = asyncio.Queue()
        running: set[asyncio.Task[None]] = set()
        num_owed = 0

        async def play(message: Any) -> None:
            nonlocal num_owed
            num_owed += 1
            try:
                fault = await self.fault(message.point.session_id, message.round)
                await self.runs.wait()
                await self.engine_runs.wait()
                self.num_steps += 1
                results.put_nowait(answer(message) if fault is None else (message, fault))
            except ConnectionError as broken:
                results.put_nowait(broken)
            num_owed -= 1

        async def show_progress(seconds: float) -> None:
            while True:
                await asyncio.sleep(seconds)
                self.num_steps += self.engine_runs.is_set()
                if num_owed:
                    results.put_nowait(self.progress())

        async def drain() -> None:
            await self.drains.wait()
            results.put_nowait(DrainingError("the scripted replica is shutting down; use another one"))

        async def read() -> None:
            async for frame in frames:
                self.frames.append(len(rounds_of(frame)))
                for message in rounds_of(frame):
                    self.rounds.append(message)
                    running.add(asyncio.create_task(play(message)))
            results.put_nowait(ConnectionError("the caller has gone"))

        running.add(asyncio.create_task(read()))
        running.add(asyncio.create_task(drain()))
        if self.progress_seconds is not None:
            running.add(asyncio.create_task(show_progress(self.progress_seconds)))
        try:
            while True:
                result = await results.get()
                await self.runs.wait()
                if isinstance(result, ConnectionError):
                    return
                if isinstance(result, DrainingError):
                    raise result
                yield result
                if self.answers_twice:
                    yield result
        finally:
            for task in running:
                task.cancel()


def frame_of(outcome: Any, frame_type: type[Any], result_type: type[Any]) -> Any:
    """A sign of life, what was answered, or the fault in its place."""
    if isinstance(outcome, round_pb2.Progress):
        return frame_type(progress=outcome)
    if not isinstance(outcome, tuple):
        return frame_type(results=[outcome])
    message, fault = outcome
    result = result_type(session_id=message.point.session_id, round=message.round, error=fault)
    return frame_type(results=[result])


async def answer_when_ready(replica: ScriptedReplica, context: Any) -> None:
    replica.callers += [name.decode() for name in context.auth_context().get("peer_dns", ())]
    await replica.runs.wait()
    if not replica.is_ready:
        await context.abort(grpc.StatusCode.UNAVAILABLE, "loading")


class ScriptedTarget(target_service_pb2_grpc.TargetServiceServicer):
    def __init__(self, replica: ScriptedReplica) -> None:
        self.replica = replica

    async def GetModel(self, request, context):
        await answer_when_ready(self.replica, context)
        return target_service_pb2.TargetServiceGetModelResponse(
            model=self.replica.model(), replica=self.replica.info()
        )

    async def Verify(self, request_iterator, context):
        outcomes = self.replica.exchange(request_iterator, lambda frame: frame.rounds, self._verdict)
        try:
            async for outcome in outcomes:
                yield frame_of(outcome, target_service_pb2.VerifyResponse, target_service_pb2.VerifyResult)
        except DrainingError as error:
            await abort(context, error)

    async def ReleaseSessions(self, request, context):
        return target_service_pb2.TargetServiceReleaseSessionsResponse(
            num_released=self.replica.release(request.sessions)
        )

    def _verdict(self, message):
        started_ns = time.monotonic_ns()
        session_id = message.point.session_id
        if (refusal := self.replica.bring_to(message.point)) is not None:
            return message, refusal
        ids = self.replica.caches[session_id]
        num_accepted = 0
        for draft_id in message.draft_ids:
            if next_id(ids, self.replica.eos_odds) != draft_id:
                break
            ids.append(draft_id)
            num_accepted += 1
        own_id = next_id(ids, self.replica.eos_odds)
        return target_service_pb2.VerifyResult(
            session_id=session_id,
            round=message.round,
            verdict=target_service_pb2.Verdict(
                num_accepted=num_accepted, own_ids=[own_id], timing=timing_since(started_ns)
            ),
        )


class ScriptedDraft(draft_service_pb2_grpc.DraftServiceServicer):
    def __init__(self, replica: ScriptedReplica) -> None:
        self.replica = replica

    async def GetModel(self, request, context):
        await answer_when_ready(self.replica, context)
        return draft_service_pb2.DraftServiceGetModelResponse(
            model=self.replica.model(), replica=self.replica.info()
        )

    async def Propose(self, request_iterator, context):
        outcomes = self.replica.exchange(request_iterator, lambda frame: frame.requests, self._proposal)
        try:
            async for outcome in outcomes:
                yield frame_of(outcome, draft_service_pb2.ProposeResponse, draft_service_pb2.ProposalResult)
        except DrainingError as error:
            await abort(context, error)

    async def ReleaseSessions(self, request, context):
        return draft_service_pb2.DraftServiceReleaseSessionsResponse(
            num_released=self.replica.release(request.sessions)
        )

    def _proposal(self, message):
        started_ns = time.monotonic_ns()
        session_id = message.point.session_id
        if (refusal := self.replica.bring_to(message.point)) is not None:
            return message, refusal
        ids = self.replica.caches[session_id]
        draft_ids: list[int] = []
        for _ in range(message.num_draft_tokens):
            draft_ids.append(guess(ids, self.replica.quality, self.replica.eos_odds))
            ids.append(draft_ids[-1])
        if draft_ids and self.replica.nonsense_ids:
            draft_ids = list(self.replica.nonsense_ids)
        return draft_service_pb2.ProposalResult(
            session_id=session_id,
            round=message.round,
            proposal=draft_service_pb2.Proposal(
                draft_ids=draft_ids,
                timing=timing_since(started_ns),
                draft_distributions=self.replica.distributions,
            ),
        )


def timing_since(started_ns: int) -> round_pb2.RoundTiming:
    return round_pb2.RoundTiming(compute_ns=time.monotonic_ns() - started_ns, num_steps=1, batch_rows=1)


def error(code: grpc.StatusCode, reason: str) -> round_pb2.RoundError:
    return round_pb2.RoundError(code=code.value[0], reason=reason, message=f"scripted {reason}")


def out_of_blocks(num_needed: int, num_total: int) -> round_pb2.RoundError:
    refusal = error(grpc.StatusCode.RESOURCE_EXHAUSTED, "KV_BLOCKS_EXHAUSTED")
    refusal.metadata.update({"num_needed": str(num_needed), "num_free": "0", "num_total": str(num_total)})
    return refusal


@asynccontextmanager
async def serving(*services: ScriptedTarget | ScriptedDraft) -> AsyncIterator[None]:
    """Serve scripted replicas, each on a port of its own, for as long as the block runs."""
    servers = [await start(service) for service in services]
    try:
        yield
    finally:
        for server in servers:
            await server.stop(None)


async def start(service: ScriptedTarget | ScriptedDraft) -> grpc.aio.Server:
    """Start one scripted replica, on the port that it had before if it had one."""
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    if isinstance(service, ScriptedTarget):
        target_service_pb2_grpc.add_TargetServiceServicer_to_server(service, server)
    else:
        draft_service_pb2_grpc.add_DraftServiceServicer_to_server(service, server)
    address, credentials = service.replica.address or "127.0.0.1:0", service.replica.credentials
    port = (
        server.add_insecure_port(address)
        if credentials is None
        else server.add_secure_port(address, credentials)
    )
    service.replica.address = f"127.0.0.1:{port}"
    await server.start()
    return server
