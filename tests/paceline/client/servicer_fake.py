"""An orchestrator that knows the contract and no model: it streams what a test gives it, over a real socket."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import grpc
import grpc.aio

from paceline.errors import PacelineError
from paceline.security.certificates import CertificateFiles
from paceline.serving.status import abort
from paceline.v1 import model_pb2
from paceline.v1 import orchestrator_service_pb2 as pb
from paceline.v1 import orchestrator_service_pb2_grpc as pb_grpc

Answer = Callable[[pb.GenerateRequest], Sequence[pb.GenerateResponse]]


def token(token_id: int, text: str, origin: pb.TokenOrigin.ValueType) -> pb.GeneratedToken:
    return pb.GeneratedToken(id=token_id, text=text, origin=origin)


def quicksort_events() -> list[pb.GenerateResponse]:
    """Three tokens in two rounds: one of the draft's two was accepted."""
    accepted = token(1, "int ", pb.TOKEN_ORIGIN_ACCEPTED)
    recovered = token(2, "main", pb.TOKEN_ORIGIN_RECOVERED)
    bonus = token(3, "()", pb.TOKEN_ORIGIN_BONUS)
    return [
        pb.GenerateResponse(
            started=pb.GenerationStarted(session_id="s-1", num_prompt_tokens=5, model="big", seed=9)
        ),
        pb.GenerateResponse(
            chunk=pb.TokenChunk(
                position=5, tokens=[accepted, recovered], text="int main", round=1, num_accepted=1
            )
        ),
        pb.GenerateResponse(chunk=pb.TokenChunk(position=7, tokens=[bonus], text="()", round=2)),
        pb.GenerateResponse(
            summary=pb.GenerationSummary(
                finish_reason=pb.FINISH_REASON_LENGTH,
                usage=pb.Usage(num_prompt_tokens=5, num_completion_tokens=3),
                speculation=pb.SpeculationSummary(
                    num_rounds=2,
                    num_draft_tokens=2,
                    num_accepted_tokens=1,
                    num_drafted_per_position=[1, 1],
                    num_accepted_per_position=[1, 0],
                ),
                timing=pb.GenerationTiming(
                    time_to_first_token_seconds=0.5, time_per_output_token_seconds=0.1, total_seconds=0.7
                ),
            )
        ),
    ]


@dataclass
class FakeOrchestrator(pb_grpc.OrchestratorServiceServicer):
    """Answers every call with the same events, or with an error; `is_endless` leaves the last one out.

    `is_leaving` ends it with gRPC's own word for a call that came while the server was being stopped. `cancelled` is
    set when a call has ended.
    """

    events: Sequence[pb.GenerateResponse] = field(default_factory=quicksort_events)
    error: PacelineError | None = None
    is_endless: bool = False
    is_leaving: bool = False
    requests: list[pb.GenerateRequest] = field(default_factory=list)
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)

    async def GetModel(
        self, request: pb.OrchestratorServiceGetModelRequest, context: grpc.aio.ServicerContext
    ) -> pb.OrchestratorServiceGetModelResponse:
        target = model_pb2.ModelInfo(name="big", self_test=model_pb2.SelfTestReport(batch_invariant=True))
        return pb.OrchestratorServiceGetModelResponse(target=target)

    async def Generate(
        self, request: pb.GenerateRequest, context: grpc.aio.ServicerContext
    ) -> AsyncIterator[pb.GenerateResponse]:
        # Wherever the call is when it is cancelled: a generator that is sending would not be told.
        context.add_done_callback(lambda _: self.cancelled.set())  # pyright: ignore[reportArgumentType]
        self.requests.append(request)
        if self.error is not None:
            await abort(context, self.error)
        if self.is_leaving:
            await context.abort(grpc.StatusCode.CANCELLED)
        for event in self.events[: -1 if self.is_endless else None]:
            yield event
        if self.is_endless:
            await asyncio.Event().wait()


@asynccontextmanager
async def serving(fake: FakeOrchestrator, files: CertificateFiles | None = None) -> AsyncIterator[str]:
    """Serve it on a free port, with mutual TLS where there are certificates, and yield its address."""
    server = grpc.aio.server()
    pb_grpc.add_OrchestratorServiceServicer_to_server(fake, server)
    if files is None:
        port = server.add_insecure_port("127.0.0.1:0")
    else:
        port = server.add_secure_port("127.0.0.1:0", _credentials(files))
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(None)


def _credentials(files: CertificateFiles) -> grpc.ServerCredentials:
    assert files.own is not None
    pair = (files.own.key.read_bytes(), files.own.certificate.read_bytes())
    return grpc.ssl_server_credentials([pair], files.ca.read_bytes(), require_client_auth=True)
