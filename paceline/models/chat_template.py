"""Chat messages to prompt text, so that no message can forge a control token.

A template is Jinja, rendered as https://huggingface.co/docs/transformers/chat_templating says but without
transformers, whose import takes 0.8 s (jinja2: 0.15 s). Where a message spells a control token, such as
`<|im_end|>`, it is shielded while the template runs; only what the template wrote can become a control token.
"""

import json
import re
import secrets
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import cached_property
from typing import NoReturn, TypeVar, cast

from jinja2 import Template, TemplateError
from jinja2.meta import find_undeclared_variables
from jinja2.sandbox import ImmutableSandboxedEnvironment

from paceline.errors import InvalidRequestError
from paceline.models.chat_message import ChatMessage
from paceline.models.errors import ChatTemplateError
from paceline.models.special_tokens import Segment, split_at
from paceline.models.tool_messages import JsonObject, tool_calls_of, tools_of

Value = TypeVar("Value")


class ChatTemplate:
    """A model's chat template together with the control tokens that it may write."""

    def __init__(self, source: str, control_pattern: re.Pattern[str], special_tokens: dict[str, str]) -> None:
        self.source = source
        self._control_pattern = control_pattern
        self._special_tokens = special_tokens

    def render(
        self, messages: Sequence[ChatMessage], *, tools_json: str = "", add_generation_prompt: bool = True
    ) -> list[Segment]:
        """Render messages into segments; joined, their texts are the prompt that transformers would render.

        `tools_json` are tools that the model may call, as the OpenAI API has them; empty means none.
        `add_generation_prompt` ends the prompt where the assistant's answer starts.
        Raises InvalidRequestError for no messages, and for tools or calls of them that are malformed or that the
        template does not know; ChatTemplateError when the template refuses them.
        """
        if not messages:
            raise InvalidRequestError("a chat needs at least one message", field="messages")
        shield = _Shield(self._control_pattern)
        try:
            turns = [shield.cover(self._turn(message)) for message in messages]
            tools = shield.cover(self._tools(tools_json))
            prompt = self._template.render(
                messages=turns,
                tools=tools or None,
                documents=None,
                add_generation_prompt=add_generation_prompt,
                **self._special_tokens,
            )
        except (TemplateError, TypeError, RecursionError) as error:
            raise ChatTemplateError(str(error)) from error
        return [
            Segment(text if is_control else shield.uncover(text), is_control)
            for text, is_control in split_at(self._control_pattern, prompt)
        ]

    @cached_property
    def takes_tools(self) -> bool:
        """Whether the template writes the tools that the model may call."""
        try:
            return "tools" in find_undeclared_variables(_environment().parse(self.source))
        except TemplateError as error:
            raise ChatTemplateError(str(error)) from error

    def _tools(self, tools_json: str) -> list[JsonObject]:
        tools = tools_of(tools_json)
        if tools and not self.takes_tools:
            raise InvalidRequestError(
                "the model's chat template takes no tools; describe them in a message, or ask a model that was trained "
                "to call tools",
                field="chat.tools_json",
            )
        return tools

    def _turn(self, message: ChatMessage) -> JsonObject:
        """Return a message as templates know it, with what it does not have left undefined."""
        turn: JsonObject = {"role": message.role, "content": message.content}
        if message.tool_calls_json:
            turn["tool_calls"] = tool_calls_of(message.tool_calls_json)
            if "tool_calls" not in self.source:
                raise InvalidRequestError(
                    "the model's chat template takes no tool calls; write what was called into the message's content",
                    field="chat.messages.tool_calls_json",
                )
        if message.tool_call_id:
            turn["tool_call_id"] = message.tool_call_id
        if message.name:
            turn["name"] = message.name
        return turn

    @cached_property
    def _template(self) -> Template:
        try:
            return _environment().from_string(self.source, globals=TEMPLATE_FUNCTIONS)
        except TemplateError as error:
            raise ChatTemplateError(str(error)) from error


class _Shield:
    """Replaces spelled control tokens by marks that no message can know, and puts them back."""

    def __init__(self, control_pattern: re.Pattern[str]) -> None:
        self._control_pattern = control_pattern
        self._nonce = secrets.token_hex(16)
        self._covered: list[str] = []

    def cover(self, value: Value) -> Value:
        """Return a text, or all that a list or an object holds, its keys included, without any control token."""
        return cast("Value", self._covered_value(value))

    def _covered_value(self, value: object) -> object:
        match value:
            case str():
                return self._control_pattern.sub(self._mark, value)
            case list():
                return [self._covered_value(one) for one in cast("list[object]", value)]
            case dict():
                entries = cast("dict[str, object]", value).items()
                return {self._covered_value(key): self._covered_value(one) for key, one in entries}
            case _:
                return value

    def uncover(self, text: str) -> str:
        return re.sub(f"\ue000{self._nonce}:(\\d+)\ue001", lambda match: self._covered[int(match[1])], text)

    def _mark(self, match: re.Match[str]) -> str:
        self._covered.append(match.group())
        return f"\ue000{self._nonce}:{len(self._covered) - 1}\ue001"


def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    environment.filters["tojson"] = _to_json
    return environment


def _to_json(
    value: object,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    # Jinja's own filter escapes HTML characters, which models have never seen; this one is transformers'.
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def _refuse(message: str) -> NoReturn:
    raise TemplateError(message)


def _format_now(layout: str) -> str:
    return datetime.now().astimezone().strftime(layout)


TEMPLATE_FUNCTIONS: dict[str, Callable[[str], str]] = {
    "raise_exception": _refuse,
    "strftime_now": _format_now,
}
