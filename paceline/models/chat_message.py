"""One turn of a chat."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ChatMessage:
    """One turn of a chat: `role` is `system`, `user`, `assistant` or `tool`.

    Attributes:
        role: Whose turn it is.
        content: What was said; may be empty, as it mostly is where the assistant called tools.
        tool_calls_json: Calls that the assistant made: a JSON list as in the OpenAI API; empty where it made none.
        tool_call_id: Which call a message of role `tool` answers; empty where it does not say.
        name: Whose message it is, of role `tool` the tool's name; empty where it does not say.
    """

    role: str
    content: str
    tool_calls_json: str = ""
    tool_call_id: str = ""
    name: str = ""
