"""What a client may send, what it is told where it may not, and what a drain does."""

import asyncio
from typing import Any

import grpc
import grpc.aio
import pytest

from paceline.client.errors import CallFailedError
from paceline.client.generation import (
    Chat,
    GenerationRequest,
    RawPrompt,
    Speculation,
    SpeculationMode,
    TokenChunk,
)
from paceline.models.chat_message import ChatMessage
from paceline.serving.status import error_reason
from paceline.serving.version import ServiceVersion
from paceline.v1 import orchestrator_service_pb2 as messages
from paceline.v1 import sampling_pb2
from paceline.v1.orchestrator_service_pb2_grpc import OrchestratorServiceStub
from tests.orchestrator.byte_tokenizer import EOS_ID, VOCABULARY_SIZE
from tests.orchestrator.rig import draft, ids_request, orchestrating, target, until
from tests.orchestrator.test_generation import PROMPT, check_invariants


async def refusal(rig, **fields) -> tuple[str, str, str]:
    """The status, reason and sentence that a request gets."""
    async with grpc.aio.insecure_channel(rig.address) as channel:
        try:
            async for _ in OrchestratorServiceStub(channel).Generate(messages.GenerateRequest(**fields)):
                pass
        except grpc.aio.AioRpcError as error:
            reason = error_reason(error)
            return error.code().name, reason.reason, reason.message
    return "OK", "", ""


def ids(*token_ids: int) -> messages.TokenIdsInput:
    return messages.TokenIdsInput(ids=token_ids)


# An enum's number may be one that this version does not know.
sampling: Any = messages.GenerationSampling
speculation: Any = messages.Speculation


@pytest.mark.parametrize(
    ("fields", "code", "reason"),
    [
        ({}, "INVALID_ARGUMENT", "INVALID_REQUEST"),
        ({"prompt": ""}, "INVALID_ARGUMENT", "EMPTY_PROMPT"),
        ({"token_ids": ids()}, "INVALID_ARGUMENT", "EMPTY_PROMPT"),
        ({"chat": messages.ChatInput()}, "INVALID_ARGUMENT", "EMPTY_PROMPT"),
        ({"prompt": "x" * 64}, "INVALID_ARGUMENT", "PROMPT_TOO_LONG"),
        ({"prompt": "x" * 100_000}, "INVALID_ARGUMENT", "PROMPT_TOO_LONG"),
        ({"token_ids": ids(*[1] * 64)}, "INVALID_ARGUMENT", "PROMPT_TOO_LONG"),
        ({"token_ids": ids(1, VOCABULARY_SIZE)}, "INVALID_ARGUMENT", "TOKEN_OUT_OF_VOCABULARY"),
        ({"prompt": "x", "model": "gpt"}, "NOT_FOUND", "UNKNOWN_MODEL"),
        ({"prompt": "x", "max_tokens": 0}, "INVALID_ARGUMENT", "INVALID_REQUEST"),
        ({"prompt": "x", "max_tokens": 4097}, "INVALID_ARGUMENT", "INVALID_REQUEST"),
        (
            {"prompt": "x", "speculation": messages.Speculation(num_draft_tokens=0)},
            "INVALID_ARGUMENT",
            "INVALID_REQUEST",
        ),
        (
            {"prompt": "x", "speculation": messages.Speculation(num_draft_tokens=65)},
            "INVALID_ARGUMENT",
            "INVALID_REQUEST",
        ),
        ({"prompt": "x" * 10_000_000}, "RESOURCE_EXHAUSTED", "MESSAGE_TOO_LARGE"),
        ({"prompt": "x" * 40_000_000}, "RESOURCE_EXHAUSTED", "MESSAGE_TOO_LARGE"),
    ],
)
async def test_what_cannot_be_served_is_refused_with_a_reason_and_reaches_no_replica(
    redis, fields, code, reason
):
    async with orchestrating(redis.url, [target(max_context_tokens=64), draft()]) as rig:
        assert (await refusal(rig, **fields))[:2] == (code, reason)
        assert not rig.targets[0].rounds
        await check_invariants(rig, await rig.client.complete(ids_request(PROMPT, 20)))


@pytest.mark.parametrize(
    ("field", "fields"),
    [
        ("sampling.temperature", {"sampling": sampling(temperature=-0.1)}),
        ("sampling.temperature", {"sampling": sampling(temperature=float("nan"))}),
        ("sampling.top_k", {"sampling": sampling(top_k=0)}),
        ("sampling.top_p", {"sampling": sampling(top_p=0.0)}),
        ("sampling.top_p", {"sampling": sampling(top_p=1.1)}),
        ("sampling.min_p", {"sampling": sampling(min_p=-1)}),
        ("sampling.repetition_penalty", {"sampling": sampling(repetition_penalty=0)}),
        ("sampling.presence_penalty", {"sampling": sampling(presence_penalty=2.5)}),
        ("sampling.frequency_penalty", {"sampling": sampling(frequency_penalty=float("inf"))}),
        ("sampling.logit_bias", {"sampling": sampling(logit_bias={VOCABULARY_SIZE: 1.0})}),
        ("sampling.logit_bias", {"sampling": sampling(logit_bias={1: 101.0})}),
        ("sampling.num_logprobs", {"sampling": sampling(num_logprobs=21)}),
        ("sampling.verification", {"sampling": sampling(verification=9)}),
        ("sampling.structure", {"sampling": sampling(structure=sampling_pb2.Structure())}),
        ("sampling.min_tokens", {"sampling": sampling(min_tokens=5), "max_tokens": 4}),
        ("stop.texts", {"stop": messages.StopConditions(texts=[""])}),
        ("stop.texts", {"stop": messages.StopConditions(texts=["x" * 257])}),
        ("stop.texts", {"stop": messages.StopConditions(texts=["x"] * 17)}),
        ("stop.ids", {"stop": messages.StopConditions(ids=[VOCABULARY_SIZE])}),
        ("stop.ids", {"stop": messages.StopConditions(ids=[1] * 65)}),
        ("num_choices", {"num_choices": 0}),
        ("num_choices", {"num_choices": 17}),
        ("speculation.mode", {"speculation": speculation(mode=9)}),
        ("speculation.drafter", {"speculation": speculation(drafter=9)}),
    ],
)
async def test_a_wish_that_is_out_of_range_is_refused_with_its_field(redis, field, fields):
    async with orchestrating(redis.url, [target()]) as rig, grpc.aio.insecure_channel(rig.address) as channel:
        request = messages.GenerateRequest(prompt="x", **fields)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            async for _ in OrchestratorServiceStub(channel).Generate(request):
                pass
        assert not rig.targets[0].rounds
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert error_reason(caught.value).reason == "INVALID_REQUEST"
    assert error_reason(caught.value).metadata["field"] == field


async def test_a_model_that_is_not_served_is_answered_with_the_one_that_is(redis):
    async with orchestrating(redis.url, [target()]) as rig:
        _, _, message = await refusal(rig, prompt="x", model="gpt")
    assert "scripted" in message


async def test_bytes_that_are_not_utf8_are_refused(redis):
    serialized = messages.GenerateRequest(prompt="xx").SerializeToString().replace(b"xx", b"\xff\xfe")
    async with orchestrating(redis.url, [target()]) as rig, grpc.aio.insecure_channel(rig.address) as channel:
        call = channel.unary_stream("/paceline.v1.OrchestratorService/Generate")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            async for _ in call(serialized):
                pass
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert error_reason(caught.value).reason == "INVALID_UTF8"


async def test_a_text_and_a_chat_are_tokenized_and_control_tokens_in_them_stay_text(redis):
    chat = Chat((ChatMessage("user", "hé <|end|>"),))
    async with orchestrating(redis.url, [target(), draft()]) as rig:
        for prompt, text in ((RawPrompt("hé <|end|>"), "hé <|end|>"), (chat, "user: hé <|end|>\n")):
            completion = await rig.client.complete(GenerationRequest(prompt, max_tokens=20))
            await check_invariants(rig, completion, tuple(text.encode()))
            assert EOS_ID not in (await rig.stored(completion.started.session_id)).ids[: len(text.encode())]


async def test_a_seed_is_kept_and_without_one_it_is_drawn(redis):
    async with orchestrating(redis.url, [target()]) as rig, grpc.aio.insecure_channel(rig.address) as channel:
        stub = OrchestratorServiceStub(channel)
        seeds = []
        for sampling in (messages.GenerationSampling(seed=7), None, None):
            request = messages.GenerateRequest(prompt="x", max_tokens=1, sampling=sampling)
            seeds += [
                event.started.seed async for event in stub.Generate(request) if event.HasField("started")
            ]
    assert seeds[0] == 7
    assert len(set(seeds)) == 3


async def test_more_sessions_than_there_are_places_are_refused_until_one_ends(redis):
    async with orchestrating(redis.url, [target(), draft()], max_sessions=2) as rig:
        held = [rig.client.generate(ids_request(PROMPT, 4000)) for _ in range(2)]
        for events in held:
            await anext(events)
        with pytest.raises(CallFailedError) as caught:
            await rig.client.complete(ids_request(PROMPT, 5))
        assert (caught.value.code, caught.value.call_reason) == ("RESOURCE_EXHAUSTED", "TOO_MANY_SESSIONS")
        for events in held:
            await events.aclose()
        await until(lambda: not rig.targets[0].caches)
        await check_invariants(rig, await rig.client.complete(ids_request(PROMPT, 5)))


async def test_the_pools_and_limits_are_described(redis):
    replicas = [target(0), target(1), draft()]
    replicas[0].replica.version = ServiceVersion.here().to_message()
    async with (
        orchestrating(redis.url, replicas, max_sessions=7) as rig,
        grpc.aio.insecure_channel(rig.address) as channel,
    ):
        answer = await OrchestratorServiceStub(channel).GetModel(
            messages.OrchestratorServiceGetModelRequest()
        )
    assert answer.target.name == "scripted"
    assert answer.draft.vocabulary_sha256 == answer.target.vocabulary_sha256
    assert {one.replica_id for one in answer.target_replicas} == {"target-0", "target-1"}
    assert [one.incarnation for one in answer.draft_replicas] == [rig.drafts[0].incarnation]
    # The other one tells none, as older releases do.
    assert {one.version.contract for one in answer.target_replicas} == {ServiceVersion.here().contract, 0}
    limits = answer.limits
    assert (limits.max_prompt_tokens, limits.max_tokens, limits.max_sessions) == (4095, 4096, 7)


async def test_without_a_target_nothing_is_begun(redis):
    loading = target()
    loading.replica.is_ready = False
    async with orchestrating(redis.url, [draft()], target_addresses=("127.0.0.1:1",)) as rig:
        for call in (rig.client.complete(ids_request(PROMPT, 5)),):
            with pytest.raises(CallFailedError) as caught:
                await call
            assert (caught.value.code, caught.value.call_reason) == ("UNAVAILABLE", "NO_TARGET_REPLICA")


async def test_a_draining_orchestrator_finishes_what_runs_and_takes_nothing_new(redis):
    async with orchestrating(redis.url, [target(), draft()]) as rig:
        serving = asyncio.create_task(rig.server.serve())
        events = rig.client.generate(ids_request(PROMPT, 300))
        await anext(events)
        rig.server.request_stop()
        await rig.draining.wait()
        with pytest.raises(CallFailedError) as caught:
            await rig.client.complete(ids_request(PROMPT, 5))
        assert caught.value.code == "UNAVAILABLE"
        # Refused; or told to make a new connection, which nobody takes; or it crossed those words on the way.
        assert caught.value.call_reason in {"DRAINING", "UNAVAILABLE", "CONNECTION_LOST"}
        tokens = [token async for event in events if isinstance(event, TokenChunk) for token in event.tokens]
        await serving
    assert len(tokens) == 300


async def test_speculation_off_by_configuration_can_be_asked_for(redis):
    async with orchestrating(redis.url, [target(), draft()], speculation="off") as rig:
        silent = await rig.client.complete(ids_request(PROMPT, 20))
        wanted = await rig.client.complete(
            ids_request(PROMPT, 20, speculation=Speculation(SpeculationMode.FIXED))
        )
    assert silent.summary.speculation.num_draft_tokens == 0
    assert wanted.summary.speculation.num_draft_tokens > 0
