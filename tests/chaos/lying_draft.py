"""A draft replica that comes and goes and answers nothing that is right."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import count, cycle
from typing import Any

import grpc

from paceline.v1 import draft_service_pb2 as messages
from paceline.v1 import draft_service_pb2_grpc, model_pb2, round_pb2
from tests.orchestrator.byte_tokenizer import VOCABULARY_SIZE, byte_tokenizer

MODEL_NAME = "tiny"  # as tests.paceline.engine.tiny_models calls it: another one would not get into the pool
_NUM_TOO_MANY = 4096


class LyingDraft(draft_service_pb2_grpc.DraftServiceServicer):
    """Serves while it lies, one lie after the other; otherwise it is not ready and its streams end."""

    def __init__(self) -> None:
        self._vocabulary_sha256 = byte_tokenizer().vocabulary_hash
        self._lies = cycle(LIES)
        self._incarnations = count()
        self._incarnation = ""
        self._honest = asyncio.Event()
        self._honest.set()

    def begin(self) -> None:
        """Lie from now on, as a new process would."""
        self._incarnation = f"lie-{next(self._incarnations)}"
        self._honest.clear()

    def end(self) -> None:
        """Go away."""
        self._honest.set()

    async def GetModel(self, request, context: Any):  # noqa: N802
        if self._honest.is_set():
            await context.abort(grpc.StatusCode.UNAVAILABLE, "not now")
        return messages.DraftServiceGetModelResponse(
            model=model_pb2.ModelInfo(
                name=MODEL_NAME,
                vocabulary_size=VOCABULARY_SIZE,
                vocabulary_sha256=self._vocabulary_sha256,
                max_context_tokens=4096,
            ),
            replica=model_pb2.ReplicaInfo(replica_id="draft-liar", incarnation=self._incarnation),
        )

    async def Propose(self, request_iterator, context):  # noqa: N802
        answers: asyncio.Queue[messages.ProposeResponse | None] = asyncio.Queue()
        readers = [
            asyncio.create_task(self._answer(request_iterator, answers)),
            asyncio.create_task(self._go_away(answers)),
        ]
        try:
            while (answer := await answers.get()) is not None:
                yield answer
        finally:
            for reader in readers:
                reader.cancel()

    async def ReleaseSessions(self, request, context):  # noqa: N802
        return messages.DraftServiceReleaseSessionsResponse(num_released=len(request.sessions))

    async def _answer(
        self,
        frames: AsyncIterator[messages.ProposeRequest],
        answers: "asyncio.Queue[messages.ProposeResponse | None]",
    ) -> None:
        async for frame in frames:
            for request in frame.requests:
                results = [*next(self._lies)(request)]
                answers.put_nowait(messages.ProposeResponse(results=results))
        answers.put_nowait(None)

    async def _go_away(self, answers: "asyncio.Queue[messages.ProposeResponse | None]") -> None:
        await self._honest.wait()
        answers.put_nowait(None)


def proposal(request: messages.ProposalRequest, draft_ids: list[int], **fields) -> messages.ProposalResult:
    return messages.ProposalResult(
        session_id=request.point.session_id,
        round=request.round,
        proposal=messages.Proposal(draft_ids=draft_ids, **fields),
    )


def out_of_vocabulary(request: messages.ProposalRequest) -> Iterator[messages.ProposalResult]:
    yield proposal(request, [VOCABULARY_SIZE + 1] * request.num_draft_tokens)


def too_many(request: messages.ProposalRequest) -> Iterator[messages.ProposalResult]:
    yield proposal(request, [1] * _NUM_TOO_MANY)


def wrong(request: messages.ProposalRequest) -> Iterator[messages.ProposalResult]:
    yield proposal(request, [2] * request.num_draft_tokens, num_ahead_tokens=1 << 20)


def repeated(request: messages.ProposalRequest) -> Iterator[messages.ProposalResult]:
    """The same answer again and again, and then another one."""
    for token_id in (3, 3, 3, 4):
        yield proposal(request, [token_id] * request.num_draft_tokens)


def another_round(request: messages.ProposalRequest) -> Iterator[messages.ProposalResult]:
    """An answer to what was never asked, and only then the right one."""
    stranger = messages.ProposalRequest()
    stranger.CopyFrom(request)
    stranger.round += 1000
    yield proposal(stranger, [5])
    yield proposal(request, [])


def no_outcome(request: messages.ProposalRequest) -> Iterator[messages.ProposalResult]:
    yield messages.ProposalResult(session_id=request.point.session_id, round=request.round)


def unknown_error(request: messages.ProposalRequest) -> Iterator[messages.ProposalResult]:
    error = round_pb2.RoundError(code=999, reason="NO_SUCH_REASON", message="a lie")
    yield messages.ProposalResult(session_id=request.point.session_id, round=request.round, error=error)


def silence(request: messages.ProposalRequest) -> Iterator[messages.ProposalResult]:
    """No answer at all."""
    yield from ()


LIES: tuple[Callable[[messages.ProposalRequest], Iterator[messages.ProposalResult]], ...] = (
    out_of_vocabulary,
    too_many,
    wrong,
    repeated,
    another_round,
    no_outcome,
    unknown_error,
    silence,
)
