"""Tools through OpenAI's own client: the template is told of them, and calls in the text become calls in the answer."""

import json

import pytest

from tests.orchestrator.gateway.gateway_rig import error_of
from tests.orchestrator.gateway.scripted_core import ScriptedCore

pytestmark = pytest.mark.asyncio(loop_scope="session")

PARAMETERS = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
WEATHER = {
    "type": "function",
    "function": {"name": "weather", "description": "now", "parameters": PARAMETERS},
}
CLOCK = {"type": "function", "function": {"name": "clock"}}
MESSAGES = [{"role": "user", "content": "Weather in Paris?"}]
PARIS = '{"name": "weather", "arguments": {"city": "Paris"}}'
ROME = '{"name": "weather", "arguments": {"city": "Rome"}}'


def called(text: str) -> str:
    return f"<tool_call>\n{text}\n</tool_call>"


async def test_calls_in_the_text_are_calls_in_the_answer_whole_and_in_a_stream(rig):
    text = f"I will ask.\n{called(PARIS)}\n{called(ROME)}"
    wishes = {"model": "", "messages": MESSAGES, "tools": [WEATHER, CLOCK]}
    with rig.writing(ScriptedCore(*text)) as core:  # a character a round
        answer = await rig.openai.chat.completions.create(**wishes)
        stream = await rig.openai.chat.completions.create(stream=True, **wishes)
        chunks = [chunk async for chunk in stream]
    message = answer.choices[0].message
    assert answer.choices[0].finish_reason == "tool_calls"
    assert (message.content or "").strip() == "I will ask."
    arguments = [json.loads(call.function.arguments) for call in message.tool_calls or ()]
    assert arguments == [{"city": "Paris"}, {"city": "Rome"}]
    assert {call.function.name for call in message.tool_calls or ()} == {"weather"}
    assert len({call.id for call in message.tool_calls or ()}) == 2
    deltas = [chunk.choices[0].delta for chunk in chunks]
    assert "".join(delta.content or "" for delta in deltas).strip() == "I will ask."
    streamed = [call for delta in deltas for call in delta.tool_calls or ()]
    assert [(call.index, json.loads(call.function.arguments)) for call in streamed] == [
        (0, {"city": "Paris"}),
        (1, {"city": "Rome"}),
    ]
    assert chunks[-1].choices[0].finish_reason == "tool_calls"
    tools = json.loads(core.requests[0].chat.tools_json)
    assert tools == [WEATHER, CLOCK]
    assert not core.requests[0].sampling.HasField("structure")


async def test_no_point_of_a_stream_lies_behind_text_that_is_held_back(rig):
    text = f"I will ask.{called(PARIS)}"
    with rig.writing(ScriptedCore(*text)):
        stream = await rig.openai.chat.completions.create(
            model="", messages=MESSAGES, tools=[WEATHER], stream=True
        )
        chunks = [chunk async for chunk in stream]
    has_point = ["rollback_token" in chunk.paceline for chunk in chunks[1 : 1 + len(text)]]
    begins, ends = text.index("<"), len(text) - 1
    assert all(has_point[:begins])
    assert not any(has_point[begins:ends])
    assert has_point[ends]


async def test_a_call_with_half_a_character_in_it_is_a_text(rig):
    text = called(PARIS.replace("Paris", "\\ud83d"))
    with rig.writing(ScriptedCore(text)):
        answer = await rig.openai.chat.completions.create(model="", messages=MESSAGES, tools=[WEATHER])
    assert answer.choices[0].message.content == text
    assert answer.choices[0].message.tool_calls is None


async def test_an_answer_without_a_call_is_a_text(rig):
    with rig.writing(ScriptedCore("It is <tool", " warm.")):
        answer = await rig.openai.chat.completions.create(model="", messages=MESSAGES, tools=[WEATHER])
    assert answer.choices[0].message.content == "It is <tool warm."
    assert answer.choices[0].message.tool_calls is None
    assert answer.choices[0].finish_reason == "stop"


async def test_with_parallel_calls_off_the_first_one_is_the_only_one(rig):
    with rig.writing(ScriptedCore(called(PARIS) + "\n" + called(ROME))):
        answer = await rig.openai.chat.completions.create(
            model="", messages=MESSAGES, tools=[WEATHER], parallel_tool_calls=False
        )
    assert len(answer.choices[0].message.tool_calls or ()) == 1


async def test_with_tool_choice_none_the_model_is_not_told_of_tools(rig):
    with rig.writing(ScriptedCore(called(PARIS))) as core:
        answer = await rig.openai.chat.completions.create(
            model="", messages=MESSAGES, tools=[WEATHER], tool_choice="none"
        )
    assert answer.choices[0].message.content == called(PARIS)
    assert core.requests[0].chat.tools_json == ""


async def test_earlier_calls_and_their_results_reach_the_template(rig):
    calls = [
        {"id": "1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Paris"}'}}
    ]
    turns = [
        *MESSAGES,
        {"role": "assistant", "content": None, "tool_calls": calls},
        {"role": "tool", "content": "21", "tool_call_id": "1", "name": "weather"},
    ]
    with rig.writing(ScriptedCore("Warm.")) as core:
        await rig.openai.chat.completions.create(model="", messages=turns, tools=[WEATHER])
    _, call, result = core.requests[0].chat.messages
    assert (call.role, call.content, json.loads(call.tool_calls_json)) == ("assistant", "", calls)
    assert (result.role, result.content, result.tool_call_id, result.name) == ("tool", "21", "1", "weather")


@pytest.mark.parametrize(
    ("fields", "parameter"),
    [
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tools": [WEATHER], "tool_choice": {"type": "function", "function": {"name": "x"}}}, "tool_choice"),
        ({"tools": [{"type": "retrieval"}]}, "tools[0].type"),
        ({"tools": [WEATHER], "guided_regex": "a"}, "tools"),
    ],
)
async def test_tools_that_cannot_be_called_are_refused(rig, fields, parameter):
    response = await rig.post("/v1/chat/completions", {"messages": MESSAGES, **fields})
    assert error_of(response)[2:] == ("INVALID_REQUEST", parameter)
