"""The client that the project ships, which resumes by itself, as one more client of the suite."""

import time
from collections.abc import Callable
from contextlib import aclosing
from typing import NamedTuple

from paceline.client.errors import CallFailedError, StreamGapError
from paceline.client.generation import (
    FinishReason,
    GenerationRequest,
    GenerationStarted,
    GenerationSummary,
    TokenChunk,
)
from paceline.client.resuming import ResumingOrchestrator
from paceline.v1 import orchestrator_service_pb2 as pb
from tests.chaos.job import Answer, Job
from tests.chaos.record import Record

_FINISH_REASONS = {
    FinishReason.STOP: pb.FINISH_REASON_STOP,
    FinishReason.LENGTH: pb.FINISH_REASON_LENGTH,
    FinishReason.CONTEXT: pb.FINISH_REASON_CONTEXT,
}


class Wait(NamedTuple):
    """What passed between two events of a stream, on the monotonic clock."""

    began_at: float
    ended_at: float

    @property
    def seconds(self) -> float:
        return self.ended_at - self.began_at


class ShippedClient:
    """Gets one job after the other answered; what must not be goes to the record, and `on_wait` hears of every wait."""

    def __init__(
        self,
        orchestrators: ResumingOrchestrator,
        record: Record,
        on_wait: Callable[[Wait], None] = lambda wait: None,
    ) -> None:
        self._orchestrators = orchestrators
        self._record = record
        self._on_wait = on_wait

    async def answer(self, job: Job, request: GenerationRequest) -> None:
        """Get a job's request answered."""
        try:
            answer = await self._answer(request)
        except (CallFailedError, StreamGapError) as error:
            self._record.wrong.append(f"{job.name}, the shipped client: {error}")
            return
        if answer != job.answer:
            self._record.wrong.append(f"{job.name}, the shipped client: {answer} instead of {job.answer}")

    async def _answer(self, request: GenerationRequest) -> Answer:
        ids: list[int] = []
        texts: list[str] = []
        last_event_at = time.monotonic()
        longest_wait = 0.0
        async with aclosing(self._orchestrators.generate(request)) as events:
            async for event in events:
                if isinstance(event, GenerationStarted):
                    self._record.session_ids.add(event.session_id)
                    continue
                wait = Wait(last_event_at, time.monotonic())
                longest_wait, last_event_at = max(longest_wait, wait.seconds), wait.ended_at
                self._on_wait(wait)
                if isinstance(event, TokenChunk):
                    ids += [token.id for token in event.tokens]
                    texts.append(event.text)
                else:
                    self._note_end(event, len(ids), longest_wait)
                    finish_reason = _FINISH_REASONS[event.finish_reason]
                    return Answer(tuple(ids), "".join(texts), finish_reason, event.stop_text or "", ())
        return Answer(tuple(ids), "".join(texts), pb.FINISH_REASON_UNSPECIFIED, "", ())

    def _note_end(self, summary: GenerationSummary, num_tokens: int, longest_wait: float) -> None:
        record = self._record
        record.num_finished += 1
        record.num_finished_by_shipped_clients += 1
        record.num_tokens += num_tokens
        record.waits.append(longest_wait)
        record.degraded.update(summary.speculation.num_degraded_rounds)
