"""What a caller passes as a conversation."""

import pytest

from paceline.client.conversation import chat_of
from paceline.errors import InvalidRequestError
from paceline.models.chat_message import ChatMessage


def test_a_mapping_has_all_fields_of_a_message() -> None:
    calls = '[{"id": "c1"}]'
    chat = chat_of(
        [
            {"role": "user", "content": "hello", "name": "Ada"},
            {"role": "assistant", "content": "", "tool_calls_json": calls},
            {"role": "tool", "content": "42", "tool_call_id": "c1", "name": "sum"},
        ]
    )
    assert chat.messages == (
        ChatMessage("user", "hello", name="Ada"),
        ChatMessage("assistant", "", tool_calls_json=calls),
        ChatMessage("tool", "42", tool_call_id="c1", name="sum"),
    )


def test_a_message_without_a_role_is_refused() -> None:
    with pytest.raises(InvalidRequestError, match="no 'role'"):
        chat_of([{"content": "hello"}])
