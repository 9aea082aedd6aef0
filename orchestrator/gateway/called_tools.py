"""The text of one choice of a chat, with the calls that the model writes into it told apart."""

from dataclasses import dataclass
from typing import Any

from orchestrator.gateway.tool_wish import ToolPlan
from paceline.models.tool_calls import ParsedText, ToolCallParser, new_tool_call_id


@dataclass(frozen=True)
class Piece:
    """What a piece of text came to; calls as OpenAI's API has them, each with its `index`."""

    content: str
    calls: tuple[dict[str, Any], ...] = ()


class CalledTools:
    """Takes the text of a choice in pieces; without a plan all of it is content."""

    def __init__(self, plan: ToolPlan | None) -> None:
        self._parser = None if plan is None else ToolCallParser(plan.tool_format, plan.names)
        self._max_calls = 1 if plan is not None and plan.is_single else None
        self._num_calls = 0

    @property
    def has_called(self) -> bool:
        """Whether there was a call."""
        return self._num_calls > 0

    @property
    def is_holding(self) -> bool:
        """Whether text was taken that has not come out yet."""
        return self._parser is not None and self._parser.is_holding

    def push(self, text: str) -> Piece:
        """Take the next piece."""
        return Piece(text) if self._parser is None else self._piece(self._parser.push(text))

    def finish(self) -> Piece:
        """Take the end of the text."""
        return Piece("") if self._parser is None else self._piece(self._parser.finish())

    def _piece(self, parsed: ParsedText) -> Piece:
        calls: list[dict[str, Any]] = []
        for call in parsed.calls:
            if self._max_calls is not None and self._num_calls >= self._max_calls:
                break
            calls.append(
                {
                    "index": self._num_calls,
                    "id": new_tool_call_id(),
                    "type": "function",
                    "function": {"name": call.name, "arguments": call.arguments},
                }
            )
            self._num_calls += 1
        return Piece(parsed.content, tuple(calls))
