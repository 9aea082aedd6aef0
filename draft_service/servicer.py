"""DraftService on the wire: messages in and out, everything else elsewhere."""

import time
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import aclosing
from functools import partial

import grpc.aio

from draft_service.proposing import AheadOutcome
from draft_service.requests import ProposalRequest, check_request
from draft_service.session import DraftSession, TimedProposal
from paceline.serving.frames import in_frame, repeated_in_frame
from paceline.serving.replica import Replica
from paceline.serving.round_messages import error_message, point_from, progress_message, timing_message
from paceline.serving.round_watch import ReceivedRound, RoundWatch
from paceline.serving.session_host import SessionHost
from paceline.serving.session_table import RoundKey
from paceline.telemetry.tracer import Attributes
from paceline.v1 import draft_service_pb2 as messages
from paceline.v1 import draft_service_pb2_grpc

_AHEAD_OUTCOMES = {
    AheadOutcome.NONE: messages.AHEAD_OUTCOME_NONE,
    AheadOutcome.CONTINUED: messages.AHEAD_OUTCOME_CONTINUED,
    AheadOutcome.GUESSED: messages.AHEAD_OUTCOME_GUESSED,
    AheadOutcome.MISSED: messages.AHEAD_OUTCOME_MISSED,
}


class DraftServicer(draft_service_pb2_grpc.DraftServiceServicer):
    """Serves DraftService for a session host."""

    def __init__(self, host: SessionHost[DraftSession], replica: Replica, watch: RoundWatch) -> None:
        self._host = host
        self._replica = replica
        self._watch = watch

    async def GetModel(
        self, request: messages.DraftServiceGetModelRequest, context: grpc.aio.ServicerContext
    ) -> messages.DraftServiceGetModelResponse:
        """Describe the hosted model."""
        return messages.DraftServiceGetModelResponse(
            model=self._host.model.to_message(), replica=self._replica.to_message()
        )

    async def Propose(
        self, request_iterator: AsyncIterator[messages.ProposeRequest], context: grpc.aio.ServicerContext
    ) -> AsyncIterator[messages.ProposeResponse]:
        """Propose draft tokens, a frame at a time."""
        exchange = self._host.exchange(self._begin, request_iterator, self._draft_ahead)
        async with aclosing(exchange) as frames:
            async for frame in frames:
                yield messages.ProposeResponse(
                    results=frame.answers, progress=progress_message(frame.progress)
                )

    async def ReleaseSessions(
        self, request: messages.DraftServiceReleaseSessionsRequest, context: grpc.aio.ServicerContext
    ) -> messages.DraftServiceReleaseSessionsResponse:
        """Free the caches of sessions."""
        return messages.DraftServiceReleaseSessionsResponse(num_released=self._host.release(request.sessions))

    def _begin(self, frame: messages.ProposeRequest) -> Iterator[Awaitable[messages.ProposalResult]]:
        received_ns = time.monotonic_ns()
        for message, is_repeated in in_frame(frame.requests, lambda message: message.point.session_id):
            yield self._result(message, received_ns, is_repeated=is_repeated)

    def _draft_ahead(self, answered: list[messages.ProposalResult]) -> None:
        for result in answered:
            session = self._host.sessions.find(result.session_id)
            if session is not None:
                session.draft_ahead()

    async def _result(
        self, message: messages.ProposalRequest, received_ns: int, *, is_repeated: bool
    ) -> messages.ProposalResult:
        result = messages.ProposalResult(session_id=message.point.session_id, round=message.round)
        received = ReceivedRound(message.point, message.round, received_ns)
        try:
            timed = await self._proposed(message, received_ns, is_repeated=is_repeated)
        except Exception as error:
            result.error.CopyFrom(error_message(error))
            self._watch.failed(received, result.error.reason)
        else:
            result.proposal.CopyFrom(_proposal_message(timed))
            self._watch.answered(received, timed.timing, timed.waited_ns, lambda: _attributes(timed))
        return result

    async def _proposed(
        self, message: messages.ProposalRequest, received_ns: int, *, is_repeated: bool
    ) -> TimedProposal:
        if is_repeated:
            raise repeated_in_frame(message.point.session_id)
        request = _request_from(message)
        check_request(request, self._host.model.info.vocabulary_size)
        answer = partial(DraftSession.propose, request=request, received_ns=received_ns)
        return await self._host.play(request.point, RoundKey(message.round, request), answer)


def _proposal_message(timed: TimedProposal) -> messages.Proposal:
    return messages.Proposal(
        draft_ids=timed.proposal.draft_ids,
        num_ahead_tokens=timed.proposal.num_ahead_tokens,
        timing=timing_message(timed.timing, timed.waited_ns),
        draft_distributions=timed.proposal.distributions,
        ahead_outcome=_AHEAD_OUTCOMES[timed.proposal.ahead_outcome],
        num_dropped_tokens=timed.proposal.num_dropped_tokens,
    )


def _attributes(timed: TimedProposal) -> Attributes:
    return {
        "paceline.num_draft_tokens": len(timed.proposal.draft_ids),
        "paceline.num_ahead_tokens": timed.proposal.num_ahead_tokens,
        "paceline.ahead_outcome": timed.proposal.ahead_outcome.name.lower(),
        "paceline.num_dropped_tokens": timed.proposal.num_dropped_tokens,
    }


def _request_from(message: messages.ProposalRequest) -> ProposalRequest:
    return ProposalRequest(
        point=point_from(message.point),
        num_draft_tokens=message.num_draft_tokens,
        max_ahead_tokens=message.max_ahead_tokens,
        num_awaited_tokens=(
            message.num_awaited_tokens if message.HasField("num_awaited_tokens") else message.num_draft_tokens
        ),
        max_ahead_guesses=message.max_ahead_guesses,
    )
