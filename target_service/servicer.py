"""TargetService on the wire: messages in and out, everything else elsewhere."""

import time
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import aclosing
from functools import partial

import grpc.aio

from paceline.serving.frames import in_frame, repeated_in_frame
from paceline.serving.replica import Replica
from paceline.serving.round_messages import error_message, point_from, progress_message, timing_message
from paceline.serving.round_watch import ReceivedRound, RoundWatch
from paceline.serving.sampling_messages import logprobs_message
from paceline.serving.session import Session
from paceline.serving.session_host import SessionHost
from paceline.serving.session_table import RoundKey
from paceline.telemetry.tracer import Attributes
from paceline.v1 import target_service_pb2 as messages
from paceline.v1 import target_service_pb2_grpc
from target_service.rounds import VerifyRound, check_round
from target_service.verifier import VerifiedRound, verify


class TargetServicer(target_service_pb2_grpc.TargetServiceServicer):
    """Serves TargetService for a session host."""

    def __init__(self, host: SessionHost[Session], replica: Replica, watch: RoundWatch) -> None:
        self._host = host
        self._replica = replica
        self._watch = watch

    async def GetModel(
        self, request: messages.TargetServiceGetModelRequest, context: grpc.aio.ServicerContext
    ) -> messages.TargetServiceGetModelResponse:
        """Describe the hosted model."""
        return messages.TargetServiceGetModelResponse(
            model=self._host.model.to_message(), replica=self._replica.to_message()
        )

    async def Verify(
        self, request_iterator: AsyncIterator[messages.VerifyRequest], context: grpc.aio.ServicerContext
    ) -> AsyncIterator[messages.VerifyResponse]:
        """Verify rounds, a frame at a time."""
        async with aclosing(self._host.exchange(self._begin, request_iterator)) as frames:
            async for frame in frames:
                yield messages.VerifyResponse(
                    results=frame.answers, progress=progress_message(frame.progress)
                )

    async def ReleaseSessions(
        self, request: messages.TargetServiceReleaseSessionsRequest, context: grpc.aio.ServicerContext
    ) -> messages.TargetServiceReleaseSessionsResponse:
        """Free the caches of sessions."""
        return messages.TargetServiceReleaseSessionsResponse(
            num_released=self._host.release(request.sessions)
        )

    def _begin(self, frame: messages.VerifyRequest) -> Iterator[Awaitable[messages.VerifyResult]]:
        received_ns = time.monotonic_ns()
        for message, is_repeated in in_frame(frame.rounds, lambda message: message.point.session_id):
            yield self._result(message, received_ns, is_repeated=is_repeated)

    async def _result(
        self, message: messages.VerifyRound, received_ns: int, *, is_repeated: bool
    ) -> messages.VerifyResult:
        result = messages.VerifyResult(session_id=message.point.session_id, round=message.round)
        received = ReceivedRound(message.point, message.round, received_ns)
        try:
            verified = await self._verified(message, received_ns, is_repeated=is_repeated)
        except Exception as error:
            result.error.CopyFrom(error_message(error))
            self._watch.failed(received, result.error.reason)
        else:
            result.verdict.CopyFrom(_verdict_message(verified))
            self._watch.answered(
                received, verified.timing, verified.waited_ns, lambda: _attributes(message, verified)
            )
        return result

    async def _verified(
        self, message: messages.VerifyRound, received_ns: int, *, is_repeated: bool
    ) -> VerifiedRound:
        if is_repeated:
            raise repeated_in_frame(message.point.session_id)
        round_ = _round_from(message)
        vocabulary_size = self._host.model.info.vocabulary_size
        check_round(round_, vocabulary_size)
        answer = partial(verify, round_=round_, received_ns=received_ns, vocabulary_size=vocabulary_size)
        return await self._host.play(round_.point, RoundKey(message.round, round_), answer)


def _verdict_message(verified: VerifiedRound) -> messages.Verdict:
    return messages.Verdict(
        num_accepted=verified.verdict.num_accepted,
        own_ids=verified.verdict.own_ids,
        timing=timing_message(verified.timing, verified.waited_ns),
        logprobs=map(logprobs_message, verified.logprobs),
        prompt_logprobs=map(logprobs_message, verified.prompt_logprobs),
    )


def _attributes(message: messages.VerifyRound, verified: VerifiedRound) -> Attributes:
    return {
        "paceline.num_draft_tokens": len(message.draft_ids),
        "paceline.num_accepted_tokens": verified.verdict.num_accepted,
    }


def _round_from(message: messages.VerifyRound) -> VerifyRound:
    return VerifyRound(
        point=point_from(message.point),
        draft_ids=tuple(message.draft_ids),
        max_own_tokens=max(1, message.max_own_tokens),
        stop_ids=frozenset(message.stop_ids),
        draft_distributions=tuple(message.draft_distributions),
        with_prompt_logprobs=message.with_prompt_logprobs,
    )
