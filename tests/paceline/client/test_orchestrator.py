"""The typed client, against the contract over a real socket."""

import asyncio
from contextlib import aclosing

import pytest

from paceline.client.errors import CallFailedError
from paceline.client.generation import (
    Chat,
    Drafter,
    FinishReason,
    GenerationRequest,
    PromptIds,
    RawPrompt,
    Sampling,
    Speculation,
    SpeculationMode,
    StopConditions,
    TokenChunk,
    TokenOrigin,
)
from paceline.client.orchestrator import connect
from paceline.errors import InvalidRequestError
from paceline.models.chat_message import ChatMessage
from paceline.sampling.parameters import Structure, StructureKind, Verification
from paceline.v1 import orchestrator_service_pb2 as pb
from paceline.v1 import sampling_pb2
from tests.paceline.client.servicer_fake import FakeOrchestrator, serving

HELLO = GenerationRequest(RawPrompt("hello"))


async def test_a_completion_has_ids_text_origins_and_the_summary() -> None:
    async with serving(FakeOrchestrator()) as address, connect(address) as orchestrator:
        completion = await orchestrator.complete(HELLO)
    assert completion.token_ids == (1, 2, 3)
    assert completion.text == "int main()"
    assert [token.origin for token in completion.tokens] == [
        TokenOrigin.ACCEPTED,
        TokenOrigin.RECOVERED,
        TokenOrigin.BONUS,
    ]
    assert completion.started.session_id == "s-1"
    assert completion.summary.finish_reason is FinishReason.LENGTH
    assert completion.summary.speculation.num_accepted_per_position == (1, 0)
    assert completion.summary.timing.total_seconds == 0.7
    assert len(completion.token_seconds) == 1  # those of the first arrival have no time of their own


@pytest.mark.parametrize(
    ("request_sent", "expected"),
    [
        (HELLO, pb.GenerateRequest(prompt="hello")),
        (
            GenerationRequest(PromptIds((5, 6)), max_tokens=0, ignore_eos=True, model="big"),
            pb.GenerateRequest(
                token_ids=pb.TokenIdsInput(ids=[5, 6]),
                max_tokens=0,
                ignore_eos=True,
                model="big",
            ),
        ),
        (
            GenerationRequest(
                Chat((ChatMessage("user", "hi"),)), speculation=Speculation(SpeculationMode.FIXED, 3)
            ),
            pb.GenerateRequest(
                chat=pb.ChatInput(messages=[pb.ChatMessage(role="user", content="hi")]),
                speculation=pb.Speculation(mode=pb.SPECULATION_MODE_FIXED, num_draft_tokens=3),
            ),
        ),
        (
            GenerationRequest(RawPrompt(""), speculation=Speculation(SpeculationMode.OFF)),
            pb.GenerateRequest(prompt="", speculation=pb.Speculation(mode=pb.SPECULATION_MODE_OFF)),
        ),
        (
            GenerationRequest(
                RawPrompt("x"),
                speculation=Speculation(SpeculationMode.ADAPTIVE, drafter=Drafter.PROMPT_LOOKUP),
                sampling=Sampling(
                    temperature=0.7,
                    seed=5,
                    top_k=40,
                    logit_bias={3: -1.5},
                    num_logprobs=0,
                    verification=Verification.REJECTION,
                    structure=Structure(StructureKind.CHOICE, '["yes", "no"]'),
                ),
                stop=StopConditions(("END",), (7,), include_text=True),
                echo=True,
            ),
            pb.GenerateRequest(
                prompt="x",
                speculation=pb.Speculation(
                    mode=pb.SPECULATION_MODE_ADAPTIVE, drafter=pb.DRAFTER_PROMPT_LOOKUP
                ),
                sampling=pb.GenerationSampling(
                    temperature=0.7,
                    seed=5,
                    top_k=40,
                    top_p=1,
                    repetition_penalty=1,
                    logit_bias={3: -1.5},
                    num_logprobs=0,
                    verification=sampling_pb2.VERIFICATION_REJECTION,
                    structure=sampling_pb2.Structure(choice=sampling_pb2.ChoiceList(texts=["yes", "no"])),
                ),
                stop=pb.StopConditions(texts=["END"], ids=[7], include_text=True),
                echo=True,
            ),
        ),
    ],
)
async def test_a_request_arrives_as_it_was_meant(
    request_sent: GenerationRequest, expected: pb.GenerateRequest
) -> None:
    fake = FakeOrchestrator()
    async with serving(fake) as address, connect(address) as orchestrator:
        await orchestrator.complete(request_sent)
    assert fake.requests == [expected]


async def test_a_refusal_carries_its_code_and_reason() -> None:
    fake = FakeOrchestrator(error=InvalidRequestError("max_tokens is 0; send at least 1", field="max_tokens"))
    async with serving(fake) as address, connect(address) as orchestrator:
        with pytest.raises(CallFailedError, match="max_tokens is 0") as caught:
            await orchestrator.complete(HELLO)
    assert (caught.value.code, caught.value.call_reason) == ("INVALID_ARGUMENT", "INVALID_REQUEST")
    assert caught.value.metadata["field"] == "max_tokens"


async def test_nobody_there_is_said_with_what_to_do() -> None:
    async with connect("127.0.0.1:1") as orchestrator:
        with pytest.raises(CallFailedError, match="paceline up") as caught:
            await orchestrator.complete(HELLO)
    assert caught.value.call_reason == "UNAVAILABLE"


async def test_a_server_that_ends_the_call_as_it_goes_is_unavailable() -> None:
    async with serving(FakeOrchestrator(is_leaving=True)) as address, connect(address) as orchestrator:
        with pytest.raises(CallFailedError, match=f"{address} ended the connection: try again") as caught:
            await orchestrator.complete(HELLO)
    assert (caught.value.code, caught.value.call_reason) == ("UNAVAILABLE", "CONNECTION_LOST")


async def test_closing_the_events_cancels_the_call() -> None:
    fake = FakeOrchestrator(is_endless=True)
    async with serving(fake) as address, connect(address) as orchestrator:
        async with aclosing(orchestrator.generate(HELLO)) as events:
            async for event in events:
                if isinstance(event, TokenChunk):
                    break
        await fake.cancelled.wait()


async def test_cancelling_the_task_cancels_the_call() -> None:
    fake = FakeOrchestrator(is_endless=True)
    async with serving(fake) as address, connect(address) as orchestrator:
        running = asyncio.create_task(orchestrator.complete(HELLO))
        while not fake.requests:  # noqa: ASYNC110 - the fake has no event for it
            await asyncio.sleep(0.01)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        await fake.cancelled.wait()


async def test_the_served_models_are_described() -> None:
    async with serving(FakeOrchestrator()) as address, connect(address) as orchestrator:
        models = await orchestrator.served_models()
    assert (models.target.name, models.target.is_batch_invariant, models.draft) == ("big", True, None)
