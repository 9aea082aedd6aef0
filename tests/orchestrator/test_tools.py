"""Tools in a conversation, from the request to the ids that the target is given."""

import json

import pytest

from orchestrator.conversation import join
from paceline.client.errors import CallFailedError
from paceline.client.generation import Chat, GenerationRequest
from paceline.client.messages import request_message
from paceline.models.chat_message import ChatMessage
from paceline.v1 import orchestrator_service_pb2 as messages
from tests.orchestrator import rig as rigs
from tests.orchestrator.byte_tokenizer import byte_tokenizer
from tests.orchestrator.rig import orchestrating, target
from tests.paceline.models.template_files import QWEN, template_source

TOOLS = json.dumps([{"type": "function", "function": {"name": "clock"}}])
CALLS = json.dumps(
    [{"id": "abcdefghi", "type": "function", "function": {"name": "clock", "arguments": "{}"}}]
)
ASKED = ChatMessage("user", "What time is it?")
CALLED = ChatMessage("assistant", "", CALLS)
ANSWERED = ChatMessage("tool", "12:00", tool_call_id="abcdefghi", name="clock")
WRITTEN = '<tool_call>\n{"name": "clock", "arguments": {}}\n</tool_call>'


def chat_request(*turns: ChatMessage, tools_json: str = TOOLS, max_tokens: int = 4) -> GenerationRequest:
    return GenerationRequest(Chat(turns, tools_json), max_tokens=max_tokens)


def test_tools_and_calls_travel_as_they_are():
    chat = request_message(chat_request(ASKED, CALLED, ANSWERED)).chat
    assert chat.tools_json == TOOLS
    assert list(chat.messages) == [
        messages.ChatMessage(role="user", content="What time is it?"),
        messages.ChatMessage(role="assistant", tool_calls_json=CALLS),
        messages.ChatMessage(role="tool", content="12:00", tool_call_id="abcdefghi", name="clock"),
    ]


async def test_the_target_gets_what_the_template_makes_of_tools_and_calls(redis, monkeypatch):
    tokenizer = byte_tokenizer(template_source(QWEN))
    monkeypatch.setattr(rigs, "TOKENIZER", tokenizer)
    async with orchestrating(redis.url, [target()]) as rig:
        await rig.client.complete(chat_request(ASKED, CALLED, ANSWERED))
        prompt_ids = rig.targets[0].rounds[0].point.committed_ids
    expected = tokenizer.encode_chat([ASKED, CALLED, ANSWERED], tools_json=TOOLS)
    assert list(prompt_ids) == expected
    prompt = tokenizer.decode(prompt_ids)
    assert prompt.count(WRITTEN) == 1
    assert "<tool_response>\n12:00\n</tool_response>" in prompt


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (chat_request(ASKED), "chat.tools_json"),
        (chat_request(ASKED, CALLED, tools_json=""), "chat.messages.tool_calls_json"),
        (chat_request(ASKED, tools_json="{"), "chat.tools_json"),
    ],
)
async def test_what_the_model_cannot_be_told_is_refused(redis, request_, field):
    async with orchestrating(redis.url, [target()]) as rig:
        with pytest.raises(CallFailedError) as refused:
            await rig.client.complete(request_)
    assert (refused.value.call_reason, refused.value.metadata["field"]) == ("INVALID_REQUEST", field)


async def test_tools_count_as_a_part_of_the_prompt(redis):
    async with orchestrating(redis.url, [target(max_context_tokens=64)]) as rig:
        with pytest.raises(CallFailedError) as refused:
            await rig.client.complete(chat_request(ASKED, tools_json=" " * 100_000))
    assert refused.value.call_reason == "PROMPT_TOO_LONG"


def test_behind_a_call_only_what_the_tool_answered_is_new():
    tokenizer = byte_tokenizer(template_source(QWEN))
    prompt_ids = tokenizer.encode_chat([ASKED], tools_json=TOOLS)
    session_ids = [*prompt_ids, *tokenizer.encode(f"{WRITTEN}<|im_end|>", parse_special=False)]
    whole = tokenizer.encode_chat([ASKED, CALLED, ANSWERED], tools_json=TOOLS)
    joined = join(session_ids, whole, tokenizer.bytes_of, tokenizer.control_ids)
    assert joined.num_kept == len(session_ids)
    assert joined.ids == tuple(whole)
