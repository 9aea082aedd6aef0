"""The two kinds of replicas on the wire: their messages stop here."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import grpc.aio

from orchestrator.errors import ReplicaUnavailableError, RoundFailedError
from orchestrator.replica_pulse import EngineProgress
from orchestrator.replica_stream import ResultMessage
from orchestrator.rounds import Proposal, ProposalRequest, RoundTiming, Verdict, VerifyRound
from orchestrator.session_record import CacheOwner
from paceline.errors import PacelineError
from paceline.serving.placement import Placement
from paceline.serving.sampling_messages import logprobs_from, sampling_message
from paceline.serving.session_point import SessionPoint
from paceline.serving.trace_messages import write_trace
from paceline.serving.version import ServiceVersion
from paceline.telemetry.trace_context import TraceContext
from paceline.v1 import (
    draft_service_pb2,
    draft_service_pb2_grpc,
    model_pb2,
    round_pb2,
    target_service_pb2,
    target_service_pb2_grpc,
)

Request = TypeVar("Request")
Answer = TypeVar("Answer")

_NS = 1e-9
# The replica no longer serves the session, and another one can: it drains, is broken, or has let the session go.
_GONE_REASONS = frozenset({"DRAINING", "ENGINE_FAILED", "MODEL_NOT_READY", "SUPERSEDED"})


@dataclass(frozen=True)
class SessionRelease:
    """A session whose cache is no longer needed, under the epoch that we owned it."""

    session_id: str
    epoch: int


@dataclass(frozen=True)
class ReplicaDescription:
    """The process behind an address and the model that it hosts, as it came, to be passed on by GetModel.

    Attributes:
        owner: The process.
        model: The model.
        placement: The cores that compute it; None where none do, or where the replica does not tell.
        version: Its version.
    """

    owner: CacheOwner
    model: model_pb2.ModelInfo
    placement: Placement | None = None
    version: ServiceVersion = field(default_factory=ServiceVersion)


_AHEAD_OUTCOMES = {
    draft_service_pb2.AHEAD_OUTCOME_NONE: "none",
    draft_service_pb2.AHEAD_OUTCOME_CONTINUED: "continued",
    draft_service_pb2.AHEAD_OUTCOME_GUESSED: "guessed",
    draft_service_pb2.AHEAD_OUTCOME_MISSED: "missed",
}


class ReplicaClient(ABC, Generic[Request, Answer]):
    """What our side says to one replica; gRPC's errors pass through."""

    @abstractmethod
    async def describe(self, timeout_seconds: float) -> ReplicaDescription:
        """Return what the replica is."""

    @abstractmethod
    def open_stream(self) -> Any:
        """Open the stream of rounds."""

    @abstractmethod
    async def release(self, releases: Sequence[SessionRelease], timeout_seconds: float) -> None:
        """Free the caches of sessions."""

    @abstractmethod
    def frame(self, messages: Sequence[Any]) -> Any:
        """Return a frame of request messages."""

    @abstractmethod
    def results(self, frame: Any) -> Iterable[ResultMessage]:
        """Return the result messages of a frame."""

    def progress(self, frame: Any) -> EngineProgress | None:
        """Return what a frame of either kind says of the replica's engine, if it does."""
        if not frame.HasField("progress"):
            return None
        progress: round_pb2.Progress = frame.progress
        return EngineProgress(
            progress.num_steps,
            _NS * progress.longest_step_ns,
            progress.num_waiting,
            progress.num_available_blocks,
            progress.num_blocks,
            progress.num_running,
        )

    @abstractmethod
    def message(self, request: Request) -> Any:
        """Return a request as its message."""

    @abstractmethod
    def answer(self, result: Any) -> Answer:
        """Return what came of a round; raises RoundFailedError where it was refused."""


class TargetClient(ReplicaClient[VerifyRound, Verdict]):
    """TargetService."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = target_service_pb2_grpc.TargetServiceStub(channel)

    async def describe(self, timeout_seconds: float) -> ReplicaDescription:
        """GetModel."""
        request = target_service_pb2.TargetServiceGetModelRequest()
        return _description(await self._stub.GetModel(request, timeout=timeout_seconds))

    def open_stream(self) -> Any:
        """Verify."""
        return self._stub.Verify()

    async def release(self, releases: Sequence[SessionRelease], timeout_seconds: float) -> None:
        """ReleaseSessions."""
        request = target_service_pb2.TargetServiceReleaseSessionsRequest(sessions=_releases(releases))
        await self._stub.ReleaseSessions(request, timeout=timeout_seconds)

    def frame(self, messages: Sequence[target_service_pb2.VerifyRound]) -> target_service_pb2.VerifyRequest:
        """VerifyRequest."""
        return target_service_pb2.VerifyRequest(rounds=messages)

    def results(self, frame: target_service_pb2.VerifyResponse) -> Iterable[ResultMessage]:
        """The verdicts of a VerifyResponse."""
        return frame.results

    def message(self, request: VerifyRound) -> target_service_pb2.VerifyRound:
        """VerifyRound."""
        message = target_service_pb2.VerifyRound(
            round=request.round,
            draft_ids=request.draft_ids,
            draft_distributions=request.draft_distributions,
            with_prompt_logprobs=request.with_prompt_logprobs,
        )
        _fill(message.point, request.point, request.trace)
        return message

    def answer(self, result: target_service_pb2.VerifyResult) -> Verdict:
        """Verdict, or the refusal that takes its place."""
        if result.HasField("error"):
            raise _refusal(result.error)
        verdict = result.verdict
        return Verdict(
            verdict.num_accepted,
            tuple(verdict.own_ids),
            _timing(verdict.timing),
            tuple(map(logprobs_from, verdict.logprobs)),
            tuple(map(logprobs_from, verdict.prompt_logprobs)),
        )


class DraftClient(ReplicaClient[ProposalRequest, Proposal]):
    """DraftService."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = draft_service_pb2_grpc.DraftServiceStub(channel)

    async def describe(self, timeout_seconds: float) -> ReplicaDescription:
        """GetModel."""
        request = draft_service_pb2.DraftServiceGetModelRequest()
        return _description(await self._stub.GetModel(request, timeout=timeout_seconds))

    def open_stream(self) -> Any:
        """Propose."""
        return self._stub.Propose()

    async def release(self, releases: Sequence[SessionRelease], timeout_seconds: float) -> None:
        """ReleaseSessions."""
        request = draft_service_pb2.DraftServiceReleaseSessionsRequest(sessions=_releases(releases))
        await self._stub.ReleaseSessions(request, timeout=timeout_seconds)

    def frame(
        self, messages: Sequence[draft_service_pb2.ProposalRequest]
    ) -> draft_service_pb2.ProposeRequest:
        """ProposeRequest."""
        return draft_service_pb2.ProposeRequest(requests=messages)

    def results(self, frame: draft_service_pb2.ProposeResponse) -> Iterable[ResultMessage]:
        """The proposals of a ProposeResponse."""
        return frame.results

    def message(self, request: ProposalRequest) -> draft_service_pb2.ProposalRequest:
        """ProposalRequest."""
        message = draft_service_pb2.ProposalRequest(
            round=request.round,
            num_draft_tokens=request.num_draft_tokens,
            max_ahead_tokens=request.max_ahead_tokens,
            num_awaited_tokens=request.num_awaited_tokens,
            max_ahead_guesses=request.max_ahead_guesses,
        )
        _fill(message.point, request.point, request.trace)
        return message

    def answer(self, result: draft_service_pb2.ProposalResult) -> Proposal:
        """Proposal, or the refusal that takes its place."""
        if result.HasField("error"):
            raise _refusal(result.error)
        proposal = result.proposal
        return Proposal(
            tuple(proposal.draft_ids),
            proposal.num_ahead_tokens,
            _timing(proposal.timing),
            tuple(proposal.draft_distributions),
            ahead_outcome=_AHEAD_OUTCOMES.get(proposal.ahead_outcome, ""),
            num_dropped_tokens=proposal.num_dropped_tokens,
        )


def _description(
    response: target_service_pb2.TargetServiceGetModelResponse
    | draft_service_pb2.DraftServiceGetModelResponse,
) -> ReplicaDescription:
    replica = response.replica
    owner = CacheOwner(replica.replica_id, replica.incarnation)
    placement, version = Placement.from_message(replica), ServiceVersion.from_message(replica)
    return ReplicaDescription(owner, response.model, placement, version)


def _fill(message: round_pb2.SessionPoint, point: SessionPoint, trace: TraceContext | None) -> None:
    """Write a point into the message that it is part of, where it need not be copied."""
    message.session_id = point.session_id
    message.epoch = point.epoch
    message.position = point.position
    message.prefix_digest = point.prefix_digest
    message.committed_ids.extend(point.committed_ids)
    if point.sampling is not None:
        message.sampling.CopyFrom(sampling_message(point.sampling))
    message.fork_of = point.fork_of
    if trace is not None:
        write_trace(trace, message.trace)


def _releases(releases: Sequence[SessionRelease]) -> list[round_pb2.SessionRelease]:
    return [round_pb2.SessionRelease(session_id=one.session_id, epoch=one.epoch) for one in releases]


def _timing(timing: round_pb2.RoundTiming) -> RoundTiming:
    return RoundTiming(
        _NS * timing.queue_ns,
        _NS * timing.compute_ns,
        timing.num_cached_tokens,
        timing.num_steps,
        timing.batch_rows,
        timing.batch_sessions,
    )


def _refusal(error: round_pb2.RoundError) -> PacelineError:
    if error.reason in _GONE_REASONS:
        return ReplicaUnavailableError(error.reason, error.message)
    return RoundFailedError(error.reason, error.message, error.metadata)
