"""OpenAI's own client against real models behind `paceline up`."""

import json
from collections.abc import AsyncIterator

import pytest
from openai import AsyncOpenAI, BadRequestError

from tests.end_to_end.cluster_process import RunningCluster

QUESTION = {"role": "user", "content": "Name three colours."}
SCHEMA = {
    "type": "object",
    "properties": {"colours": {"type": "array", "items": {"enum": ["red", "green", "blue"]}, "maxItems": 3}},
    "required": ["colours"],
    "additionalProperties": False,
}


@pytest.fixture
async def client(tiny_cluster: RunningCluster) -> AsyncIterator[AsyncOpenAI]:
    url = f"http://{tiny_cluster.description['http_address']}/v1"
    async with AsyncOpenAI(base_url=url, api_key="none", max_retries=0) as client:
        yield client


async def test_a_stream_a_whole_answer_and_one_without_speculation_are_the_same_text(client):
    wish = {"model": "", "messages": [QUESTION], "max_tokens": 24, "temperature": 0.8, "seed": 11}
    whole = await client.chat.completions.create(**wish)
    alone = await client.chat.completions.create(
        **wish, extra_body={"paceline": {"speculation": {"mode": "off"}}}
    )
    stream = await client.chat.completions.create(**wish, stream=True)
    streamed = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
    assert whole.choices[0].message.content == alone.choices[0].message.content == streamed != ""
    assert whole.system_fingerprint == alone.system_fingerprint


async def test_an_answer_of_a_json_schema_is_one(client):
    answer = await client.chat.completions.create(
        model="",
        messages=[QUESTION],
        max_tokens=60,
        temperature=0,
        response_format={"type": "json_schema", "json_schema": {"name": "colours", "schema": SCHEMA}},
    )
    assert answer.choices[0].finish_reason == "stop"
    assert set(json.loads(answer.choices[0].message.content or "")["colours"]) <= {"red", "green", "blue"}


async def test_choices_have_log_probabilities_of_the_model_and_a_prompt_is_scored(client):
    chat = await client.chat.completions.create(
        model="", messages=[QUESTION], max_tokens=4, n=2, logprobs=True, top_logprobs=3, temperature=0
    )
    for choice in chat.choices:
        assert choice.logprobs is not None
        for row in choice.logprobs.content or ():
            assert row.top_logprobs[0].token == row.token  # greedy
            assert len(row.top_logprobs) == 3
            assert row.logprob == row.top_logprobs[0].logprob <= 0
    scored = await client.completions.create(
        model="", prompt="red, green", max_tokens=1, echo=True, logprobs=0
    )
    logprobs = scored.choices[0].logprobs
    assert logprobs is not None
    assert "".join(logprobs.tokens or ()).startswith("red, green")
    found = logprobs.token_logprobs or []
    assert found[0] is None
    assert all(logprob is not None and logprob <= 0 for logprob in found[1:])


async def test_what_the_model_cannot_do_is_refused(client):
    with pytest.raises(BadRequestError) as caught:
        await client.chat.completions.create(
            model="", messages=[QUESTION], tools=[{"type": "function", "function": {"name": "f"}}]
        )
    assert caught.value.param == "tools"
