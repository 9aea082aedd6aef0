"""Calls of tools out of the text that a model writes, while it is written."""

import json
import secrets
import string
from collections.abc import Collection
from dataclasses import dataclass
from typing import NamedTuple, cast

from paceline.models.json_extent import JsonExtent
from paceline.models.tool_format import Frame, ToolFormat
from paceline.models.tool_messages import JsonObject

# Mistral's templates refuse ids that are not of nine letters and digits; others take any.
_ID_LENGTH = 9
_ID_CHARACTERS = string.ascii_letters + string.digits


@dataclass(frozen=True)
class ToolCall:
    """A call of a tool; `arguments` are a JSON object as text."""

    name: str
    arguments: str


class ParsedText(NamedTuple):
    """What a piece of text came to: text for the reader, and calls that are complete with it."""

    content: str
    calls: tuple[ToolCall, ...]


def new_tool_call_id() -> str:
    """Return a name for a call, in a form that the templates of all models take back."""
    return "".join(secrets.choice(_ID_CHARACTERS) for _ in range(_ID_LENGTH))


class ToolCallParser:
    """Takes a text in pieces and tells what of it is content and what are calls; how it is cut makes no difference.

    What may still become a call is held back. Nothing is lost: what looks like a call and is none comes back as content
    just as it was written. Only the white space and the tags around calls belong to neither.

    `names` are those of the tools that the model was offered. Each character is looked at a bounded number of times,
    whatever the model writes.
    """

    def __init__(self, tool_format: ToolFormat, names: Collection[str] = ()) -> None:
        self._format = tool_format
        self._names = frozenset(names)
        first_frames = [one for one in tool_format.first_frames if names or not one.is_loose]
        self._tagged_frames = [tool_format.frame, *(one for one in first_frames if one.opening)]
        self._bare_frame = next((one for one in first_frames if not one.opening), None)
        self._held = ""
        self._frame: Frame | None = None  # of the call that is being read; None between calls
        self._extent = JsonExtent()
        self._json_start = 0  # where it begins in what is held
        self._num_scanned = 0
        self._json_end: int | None = None
        self._is_blank = True  # since the start, or since a call, there was nothing but separators
        self._has_called = False
        self._content: list[str] = []
        self._calls: list[ToolCall] = []

    @property
    def is_holding(self) -> bool:
        """Whether there is text that may still become a call."""
        return bool(self._held)

    def push(self, text: str) -> ParsedText:
        """Take the next piece."""
        self._held += text
        while self._step():
            pass
        return self._taken()

    def finish(self) -> ParsedText:
        """Take the end of the text: what was held back comes out."""
        if self._json_end is not None and self._accept(self._json_end, len(self._held)):
            return self._taken()  # only the closing tag was missing
        is_separator = self._has_called and self._is_blank and not self._held.strip(self._format.separators)
        if self._frame is not None or not is_separator:
            self._release(len(self._held))
        return self._taken()

    def _taken(self) -> ParsedText:
        parsed = ParsedText("".join(self._content), tuple(self._calls))
        self._content.clear()
        self._calls.clear()
        return parsed

    def _step(self) -> bool:
        """Get on with what is held; returns whether there may be more to do."""
        if not self._held:
            return False
        return self._find_call() if self._frame is None else self._read_call(self._frame)

    def _find_call(self) -> bool:
        held, frame = self._held, self._format.frame
        if self._is_blank:
            rest = held.lstrip(self._format.separators)
            num_blank = len(held) - len(rest)
            for one in self._tagged_frames:
                if rest.startswith(one.opening):
                    return self._begin(one, num_blank + len(one.opening))
            if any(
                one.opening.startswith(rest) for one in self._tagged_frames
            ):  # no more than separators, too
                return False
            if self._bare_frame is not None and rest.startswith(self._format.bracket):
                return self._begin(self._bare_frame, num_blank)
        place = held.find(frame.opening)
        if place < 0:
            self._release(len(held) - _num_undecided(held, frame.opening))
            return False
        self._release(place)
        return self._begin(frame, len(frame.opening))

    def _begin(self, frame: Frame, num_before: int) -> bool:
        """Read a call whose JSON comes behind so many characters."""
        self._frame, self._extent = frame, JsonExtent()
        self._json_start = self._num_scanned = num_before
        return True

    def _read_call(self, frame: Frame) -> bool:
        if self._json_end is None and not self._find_end():
            return False
        if self._json_end is None:
            return True  # it was no JSON
        return self._close(frame.closing, self._json_end)

    def _find_end(self) -> bool:
        """Look for the end of the JSON; returns whether it is known, or that there is none to come."""
        held = self._held
        if self._num_scanned == self._json_start:
            rest = held[self._json_start :].lstrip()
            if not rest:
                return False
            if rest[0] != self._format.bracket:
                self._release(len(held) - len(rest))
                return True
            self._json_start = self._num_scanned = len(held) - len(rest)
        num_more = self._extent.end_in(held[self._num_scanned :])
        if num_more is None:
            self._num_scanned = len(held)
            return False
        self._json_end = self._num_scanned + num_more
        return True

    def _close(self, closing: str, json_end: int) -> bool:
        """Take in what follows the JSON."""
        rest = self._held[json_end:].lstrip() if closing else ""
        if closing and not rest.startswith(closing):
            if closing.startswith(rest):
                return False
            self._release(json_end)
            return True
        num_used = len(self._held) - len(rest) + len(closing) if closing else json_end
        if not self._accept(json_end, num_used):
            self._release(num_used)
        return True

    def _accept(self, json_end: int, num_used: int) -> bool:
        """Take the JSON as calls, if it is some, and so much of what is held with it."""
        calls = _calls_of(
            self._held[self._json_start : json_end],
            self._format,
            # An answer that happens to be JSON is no call without arguments; what stands between tags is.
            needs_arguments=self._frame is not self._format.frame,
        )
        is_loose = self._frame is not None and self._frame.is_loose
        if calls is None or (is_loose and not self._names.issuperset(one.name for one in calls)):
            return False
        self._calls += calls
        self._drop(num_used)
        self._is_blank = self._has_called = True
        return True

    def _release(self, num_characters: int) -> None:
        """Let so much of what is held out as content."""
        if num_characters:
            self._content.append(self._held[:num_characters])
            self._is_blank = False
        self._drop(num_characters)

    def _drop(self, num_characters: int) -> None:
        self._held = self._held[num_characters:]
        self._frame = self._json_end = None


def _num_undecided(text: str, opening: str) -> int:
    """Return how many characters at the end may be the beginning of an opening tag."""
    longest = min(len(text), len(opening) - 1)
    return next((size for size in range(longest, 0, -1) if opening.startswith(text[-size:])), 0)


def _calls_of(text: str, tool_format: ToolFormat, *, needs_arguments: bool) -> list[ToolCall] | None:
    """Return the calls of a JSON text; None where it is malformed."""
    try:
        value = _parsed(text)
        entries = cast("list[object]", value) if tool_format.bracket == "[" else [value]
        calls = [_call_of(one, tool_format.arguments_key, needs_arguments=needs_arguments) for one in entries]
    except (ValueError, RecursionError):
        return None
    complete = [one for one in calls if one is not None]
    return complete if complete and len(complete) == len(calls) else None


def _call_of(entry: object, arguments_key: str, *, needs_arguments: bool) -> ToolCall | None:
    if not isinstance(entry, dict):
        return None
    call = cast("JsonObject", entry)
    name: object = call.get("name")
    arguments: object = call.get(arguments_key, None if needs_arguments else {})
    if isinstance(arguments, str):  # some models write JSON in JSON
        arguments = _parsed(arguments)
    if not (isinstance(name, str) and name and isinstance(arguments, dict)):
        return None
    written = json.dumps(arguments, ensure_ascii=False, allow_nan=False)
    (name + written).encode()  # half a character is a ValueError: no call then
    return ToolCall(name, written)


def _parsed(text: str) -> object:
    return json.loads(text, parse_constant=_refuse_constant)


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is no JSON")
