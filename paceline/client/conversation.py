"""What a caller may pass as a conversation or as a prompt."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

from paceline.client.generation import Chat, PromptIds, RawPrompt
from paceline.errors import InvalidRequestError
from paceline.models.chat_message import ChatMessage

# A mapping has the fields of a ChatMessage.
Message: TypeAlias = ChatMessage | Mapping[str, str]
# A text is one message of the user.
Messages: TypeAlias = str | Sequence[Message]
# A text to go on from as it stands, or the ids of its tokens.
RawInput: TypeAlias = str | Sequence[int]


def chat_of(messages: Messages) -> Chat:
    """Return a conversation; raises InvalidRequestError where a message has no role or no content."""
    return Chat(tuple(read_messages(messages)))


def read_messages(messages: Messages) -> Iterator[ChatMessage]:
    """Yield messages as ours; raises InvalidRequestError."""
    if isinstance(messages, str):
        yield ChatMessage("user", messages)
        return
    for number, message in enumerate(messages):
        yield message if isinstance(message, ChatMessage) else _read(message, number)


def raw_prompt_of(prompt: RawInput) -> RawPrompt | PromptIds:
    """Return a prompt that is no conversation."""
    return RawPrompt(prompt) if isinstance(prompt, str) else PromptIds(tuple(prompt))


def _read(message: Mapping[str, str], number: int) -> ChatMessage:
    try:
        return ChatMessage(
            message["role"],
            message["content"],
            message.get("tool_calls_json", ""),
            message.get("tool_call_id", ""),
            message.get("name", ""),
        )
    except KeyError as error:
        raise InvalidRequestError(
            f"message {number} has no {error.args[0]!r}: give it a role and a content", field="chat.messages"
        ) from error
