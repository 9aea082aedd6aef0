"""OpenAI's own client chats, and what Paceline adds is in the answers."""

import pytest
from openai import AsyncStream
from openai.types.chat import ChatCompletionChunk

from orchestrator.gateway.served_model import fingerprint
from paceline.v1 import orchestrator_service_pb2 as messages
from tests.orchestrator.byte_tokenizer import EOS_ID
from tests.orchestrator.gateway.scripted_core import ScriptedCore
from tests.orchestrator.rig import TOKENIZER
from tests.orchestrator.scripted_model import continuation

pytestmark = pytest.mark.asyncio(loop_scope="session")

QUESTION = {"role": "user", "content": "Name three rivers."}
PROMPT_IDS = list(b"user: Name three rivers.\n")


def text_after(ids: list[int], num_tokens: int) -> str:
    return TOKENIZER.decode(continuation(ids, num_tokens))


async def chunks_of(stream: AsyncStream[ChatCompletionChunk]) -> list[ChatCompletionChunk]:
    return [chunk async for chunk in stream]


def extension(chunk: ChatCompletionChunk) -> dict:
    assert chunk.model_extra is not None
    return chunk.model_extra["paceline"]


async def test_a_whole_answer_is_the_targets_text_with_its_usage_and_what_speculation_did(rig):
    answer = await rig.openai.chat.completions.create(
        model="scripted", messages=[QUESTION], max_completion_tokens=40, seed=7
    )
    listed = [model.id async for model in rig.openai.models.list()]
    model = await rig.openai.models.retrieve("scripted")
    info = rig.rig.surroundings.targets.descriptions[0].model
    assert listed == [model.id] == ["scripted"]
    (choice,) = answer.choices
    assert (choice.message.role, choice.finish_reason) == ("assistant", "length")
    assert choice.message.content == text_after(PROMPT_IDS, 40)
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (len(PROMPT_IDS), 40)
    assert answer.usage.total_tokens == len(PROMPT_IDS) + 40
    assert answer.system_fingerprint == fingerprint(info)
    assert answer.model_extra is not None
    part = answer.model_extra["paceline"]
    assert part["seed"] == 7
    speculation = part["summary"]["speculation"]
    assert 0 < speculation["num_accepted_tokens"] < speculation["num_draft_tokens"]
    assert part["rollback_token"] == part["summary"]["rollback_token"]
    assert "tokens" not in part


async def test_a_stream_has_the_same_text_and_tells_of_each_round(rig):
    stream = await rig.openai.chat.completions.create(
        model="scripted",
        messages=[QUESTION],
        max_tokens=40,
        stream=True,
        stream_options={"include_usage": True},
        extra_body={"paceline": {"include_tokens": True}},
    )
    chunks = await chunks_of(stream)
    *rounds, last, usage = chunks
    assert "".join(chunk.choices[0].delta.content or "" for chunk in rounds) == text_after(PROMPT_IDS, 40)
    assert rounds[0].choices[0].delta.role == "assistant"
    assert last.choices[0].finish_reason == "length"
    assert all(chunk.choices[0].finish_reason is None for chunk in rounds)
    assert usage.choices == []
    assert usage.usage is not None
    assert usage.usage.completion_tokens == 40
    assert extension(rounds[0]).keys() >= {"session_id", "seed", "position", "rollback_token", "trace_id"}
    parts = [extension(chunk) for chunk in rounds[1:]]
    ids = [token["id"] for part in parts for token in part["tokens"]]
    assert ids == continuation(PROMPT_IDS, 40)
    origins = {token["origin"] for part in parts for token in part["tokens"]}
    assert {"accepted", "recovered"} <= origins <= {"accepted", "recovered", "bonus", "target"}
    assert [part["round"] for part in parts] == list(range(len(parts)))
    assert {part["epoch"] for part in parts} == {1}
    assert all(part["timing"].keys() >= {"draft_seconds", "verify_seconds"} for part in parts)
    drafted = sum(part["num_draft_tokens"] for part in parts)
    assert drafted == extension(last)["summary"]["speculation"]["num_draft_tokens"]


async def test_each_choice_is_an_answer_of_its_own(rig):
    whole = await rig.openai.chat.completions.create(
        model="scripted", messages=[QUESTION], max_tokens=9, n=3, seed=5
    )
    stream = await rig.openai.chat.completions.create(
        model="scripted", messages=[QUESTION], max_tokens=9, n=3, stream=True
    )
    texts = {0: "", 1: "", 2: ""}
    for chunk in await chunks_of(stream):
        texts[chunk.choices[0].index] += chunk.choices[0].delta.content or ""
    assert [choice.index for choice in whole.choices] == [0, 1, 2]
    parts = [(choice.model_extra or {})["paceline"] for choice in whole.choices]
    assert [part["seed"] for part in parts] == [5, 6, 7]
    assert len({part["session_id"] for part in parts}) == 3
    assert whole.usage is not None
    assert (whole.usage.prompt_tokens, whole.usage.completion_tokens) == (len(PROMPT_IDS), 27)
    assert set(texts.values()) == {text_after(PROMPT_IDS, 9)}


async def test_a_session_is_resumed_rewound_and_forked_by_its_rollback_tokens(rig):

    async def going_on(mode: str, token: str, **fields) -> list[ChatCompletionChunk]:
        continuation = {"mode": mode, "rollback_token": token}
        stream = await rig.openai.chat.completions.create(
            model="scripted",
            messages=[],
            stream=True,
            extra_body={"paceline": {"continuation": continuation, "include_tokens": True}},
            **fields,
        )
        return await chunks_of(stream)

    stream = await rig.openai.chat.completions.create(
        model="scripted", messages=[QUESTION], max_tokens=60, stream=True
    )
    seen = []
    async for chunk in stream:
        seen.append(chunk)
        if len(seen) == 4:
            break
    await stream.close()
    text = "".join(chunk.choices[0].delta.content or "" for chunk in seen)
    token = extension(seen[-1])["rollback_token"]
    rest = await going_on("resume", token)
    forked = await going_on("fork", token, max_tokens=5)
    rewound = await going_on("rewind", token, max_tokens=5)
    ids = continuation(PROMPT_IDS, 60)
    resumed_ids = [one["id"] for chunk in rest for one in extension(chunk).get("tokens", ())]
    assert resumed_ids == ids[-len(resumed_ids) :]
    assert text_after(PROMPT_IDS, 60).startswith(text.rstrip("\ufffd"))
    sessions = [extension(chunks[0])["session_id"] for chunks in (seen, rest, forked, rewound)]
    assert sessions[0] == sessions[1] == sessions[3] != sessions[2]
    start = extension(rest[0])["position"] - len(PROMPT_IDS)
    for again in (forked, rewound):
        again_ids = [one["id"] for chunk in again for one in extension(chunk).get("tokens", ())]
        assert again_ids == ids[start : start + 5]


async def test_what_a_request_says_reaches_the_core(rig):
    with rig.writing(ScriptedCore("x")) as core:
        await rig.openai.chat.completions.create(
            model="scripted",
            messages=[
                {"role": "developer", "content": "Be short."},
                {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
            ],
            temperature=0.5,
            top_p=0.9,
            presence_penalty=0.25,
            frequency_penalty=-0.25,
            logit_bias={"65": -100},
            stop=["END", "\n\n"],
            seed=3,
            n=2,
            logprobs=True,
            top_logprobs=2,
            prediction={"type": "content", "content": "def f():"},
            response_format={
                "type": "json_schema",
                "json_schema": {"name": "n", "schema": {"type": "array"}},
            },
            extra_body={
                "top_k": 40,
                "min_p": 0.125,
                "repetition_penalty": 1.5,
                "min_tokens": 4,
                "ignore_eos": True,
                "stop_token_ids": [EOS_ID],
                "include_stop_str_in_output": True,
                "paceline": {
                    "verification": "rejection",
                    "speculation": {"mode": "fixed", "num_draft_tokens": 3, "drafter": "prompt_lookup"},
                },
            },
        )
    (request,) = core.requests
    assert [(one.role, one.content) for one in request.chat.messages] == [
        ("system", "Be short."),
        ("user", "a\nb"),
    ]
    sampling = request.sampling
    assert (sampling.temperature, sampling.top_p, sampling.top_k, sampling.min_p) == (0.5, 0.9, 40, 0.125)
    assert (sampling.presence_penalty, sampling.frequency_penalty) == (0.25, -0.25)
    assert (sampling.repetition_penalty, sampling.min_tokens, sampling.seed) == (1.5, 4, 3)
    assert (dict(sampling.logit_bias), sampling.num_logprobs) == ({65: -100.0}, 2)
    assert sampling.structure.json_schema == '{"type": "array"}'
    assert (list(request.stop.texts), list(request.stop.ids)) == (["END", "\n\n"], [EOS_ID])
    assert request.stop.include_text
    assert request.ignore_eos
    assert (request.num_choices, request.max_tokens, request.prediction) == (2, 4096, "def f():")
    assert request.speculation == messages.Speculation(
        mode=messages.SPECULATION_MODE_FIXED, num_draft_tokens=3, drafter=messages.DRAFTER_PROMPT_LOOKUP
    )


async def test_left_out_the_temperature_is_openais_and_the_seed_a_number_that_javascript_can_hold(rig):
    with rig.writing(ScriptedCore("x")) as core:
        for _ in range(5):
            await rig.openai.chat.completions.create(model="scripted", messages=[QUESTION])
    assert {request.sampling.temperature for request in core.requests} == {1.0}
    seeds = {request.sampling.seed for request in core.requests}
    assert len(seeds) == 5
    assert max(seeds) < 1 << 53


@pytest.mark.parametrize("streams", [False, True])
async def test_log_probabilities_are_of_the_tokens_that_the_text_is_made_of(rig, streams):
    with rig.writing(ScriptedCore("hé", "llo")):
        if streams:
            stream = await rig.openai.chat.completions.create(
                model="scripted", messages=[QUESTION], logprobs=True, stream=True
            )
            found = [chunk.choices[0].logprobs for chunk in await chunks_of(stream)]
        else:
            answer = await rig.openai.chat.completions.create(
                model="scripted", messages=[QUESTION], logprobs=True
            )
            found = [answer.choices[0].logprobs]
    rows = [row for logprobs in found if logprobs is not None for row in logprobs.content or ()]
    assert [row.token for row in rows] == ["h", "\\xc3", "\\xa9", "l", "l", "o"]
    assert bytes(byte for row in rows for byte in row.bytes or ()).decode() == "héllo"
    assert {row.logprob for row in rows} == {-0.5}


async def test_what_is_ignored_is_warned_of_in_the_header_and_in_the_answer(rig):
    with rig.writing(ScriptedCore("x")):
        body = {"messages": [QUESTION], "user": "me", "store": True, "service_tier": "auto"}
        whole = await rig.post("/v1/chat/completions", body)
        stream = await rig.post("/v1/chat/completions", {**body, "stream": True})
        silent = await rig.post(
            "/v1/chat/completions", {"messages": [QUESTION], "store": False, "user": None}
        )
    assert whole.headers["x-paceline-warnings"].startswith("user is ignored: ")
    warnings = whole.json()["paceline"]["warnings"]
    assert [warning.partition(" ")[0] for warning in warnings] == ["user", "store", "service_tier"]
    assert "store is ignored" in stream.headers["x-paceline-warnings"]
    assert stream.text.count('"warnings"') == 1
    assert "x-paceline-warnings" not in silent.headers
    assert "warnings" not in silent.json()["paceline"]


async def test_the_trace_and_the_id_of_a_request_are_the_callers(rig):
    trace = "0af7651916cd43dd8448eb211c80319c"
    with rig.writing(ScriptedCore("x")) as core:
        answer = await rig.post(
            "/v1/chat/completions",
            {"messages": [QUESTION]},
            **{"x-request-id": "mine-1", "traceparent": f"00-{trace}-b7ad6b7169203331-01"},
        )
        others = [await rig.http.get("/health", headers={"x-request-id": bad}) for bad in ("a b", "x" * 200)]
    assert answer.headers["x-request-id"] == "mine-1"
    ((name, value),) = core.metadata[0]
    assert name == "traceparent"
    assert str(value).startswith(f"00-{trace}-")
    made = {one.headers["x-request-id"] for one in others}
    assert len(made) == 2
    assert all(len(one) == 32 for one in made)
