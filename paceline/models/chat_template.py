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
from typing import NoReturn

from jinja2 import Template, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from paceline.errors import InvalidRequestError
from paceline.models.chat_message import ChatMessage
from paceline.models.errors import ChatTemplateError
from paceline.models.special_tokens import Segment, split_at


class ChatTemplate:
    """A model's chat template together with the control tokens that it may write."""

    def __init__(self, source: str, control_pattern: re.Pattern[str], special_tokens: dict[str, str]) -> None:
        self.source = source
        self._control_pattern = control_pattern
        self._special_tokens = special_tokens

    def render(self, messages: Sequence[ChatMessage], *, add_generation_prompt: bool = True) -> list[Segment]:
        """Render messages into segments; joined, their texts are the prompt that transformers would render.

        `add_generation_prompt` ends the prompt where the assistant's answer starts.
        Raises InvalidRequestError for no messages and ChatTemplateError when the template refuses them.
        """
        if not messages:
            raise InvalidRequestError("a chat needs at least one message", field="messages")
        shield = _Shield(self._control_pattern)
        turns = [
            {"role": shield.cover(turn.role), "content": shield.cover(turn.content)} for turn in messages
        ]
        try:
            prompt = self._template.render(
                messages=turns, add_generation_prompt=add_generation_prompt, **self._special_tokens
            )
        except (TemplateError, TypeError) as error:
            raise ChatTemplateError(str(error)) from error
        return [
            Segment(text if is_control else shield.uncover(text), is_control)
            for text, is_control in split_at(self._control_pattern, prompt)
        ]

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

    def cover(self, text: str) -> str:
        return self._control_pattern.sub(self._mark, text)

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


def _to_json(value: object, indent: int | None = None) -> str:
    # Jinja's own filter escapes HTML characters, which models have never seen.
    return json.dumps(value, ensure_ascii=False, indent=indent)


def _refuse(message: str) -> NoReturn:
    raise TemplateError(message)


def _format_now(layout: str) -> str:
    return datetime.now().astimezone().strftime(layout)


TEMPLATE_FUNCTIONS: dict[str, Callable[[str], str]] = {
    "raise_exception": _refuse,
    "strftime_now": _format_now,
}
