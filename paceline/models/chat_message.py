"""One turn of a chat."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ChatMessage:
    """One turn of a chat: `role` is `system`, `user`, `assistant` or `tool`."""

    role: str
    content: str
