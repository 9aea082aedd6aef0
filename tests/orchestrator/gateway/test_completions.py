"""Raw prompts through OpenAI's own client: texts and ids, one and several, echoed and scored."""

import pytest

from tests.orchestrator.gateway.gateway_rig import error_of
from tests.orchestrator.gateway.scripted_core import ScriptedCore
from tests.orchestrator.rig import TOKENIZER
from tests.orchestrator.scripted_model import continuation

pytestmark = pytest.mark.asyncio(loop_scope="session")


def text_after(prompt: str, num_tokens: int) -> str:
    return TOKENIZER.decode(continuation(list(prompt.encode()), num_tokens))


@pytest.mark.parametrize(
    ("prompt", "texts"),
    [
        ("abc", ["abc"]),
        (["abc", "de"], ["abc", "de"]),
        (list(b"abc"), ["abc"]),
        ([list(b"abc"), list(b"de")], ["abc", "de"]),
    ],
)
async def test_a_prompt_is_a_text_or_ids_or_several_of_either(rig, prompt, texts):
    answer = await rig.openai.completions.create(model="scripted", prompt=prompt, max_tokens=12, n=2)
    stream = await rig.openai.completions.create(model="scripted", prompt=prompt, max_tokens=12, stream=True)
    streamed = dict.fromkeys(range(len(texts)), "")
    async for chunk in stream:
        streamed[chunk.choices[0].index] += chunk.choices[0].text
    expected = [text_after(text, 12) for text in texts]
    assert [choice.text for choice in answer.choices] == [text for text in expected for _ in range(2)]
    assert [choice.index for choice in answer.choices] == list(range(2 * len(texts)))
    assert list(streamed.values()) == expected
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == sum(map(len, texts))
    assert answer.usage.completion_tokens == 24 * len(texts)


async def test_left_out_max_tokens_are_openais_sixteen_and_an_echo_comes_first(rig):
    answer = await rig.openai.completions.create(model="scripted", prompt="abc", echo=True)
    assert answer.choices[0].text == "abc" + text_after("abc", 16)
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 16


async def test_log_probabilities_say_where_each_token_is(rig):
    with rig.writing(ScriptedCore("hé", "llo")):
        answer = await rig.openai.completions.create(model="scripted", prompt="x", logprobs=1)
        stream = await rig.openai.completions.create(model="scripted", prompt="x", logprobs=1, stream=True)
        offsets = [
            offset
            async for chunk in stream
            if chunk.choices[0].logprobs
            for offset in chunk.choices[0].logprobs.text_offset or ()
        ]
    logprobs = answer.choices[0].logprobs
    assert logprobs is not None
    assert logprobs.tokens == ["h", "\\xc3", "\\xa9", "l", "l", "o"]
    assert logprobs.token_logprobs == [-0.5] * 6
    assert logprobs.text_offset == offsets == [0, 1, 1, 2, 3, 4]


async def test_a_request_may_not_ask_for_more_answers_than_are_served(rig):
    many = await rig.post("/v1/completions", {"prompt": ["a"] * 6, "n": 3, "max_tokens": 1})
    assert error_of(many) == (400, "invalid_request_error", "INVALID_REQUEST", "prompt")
    assert (await rig.post("/v1/completions", {"prompt": ["a"] * 5, "n": 3, "max_tokens": 1})).is_success
