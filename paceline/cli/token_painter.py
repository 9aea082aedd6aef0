"""Generated tokens as text for a terminal or a file."""

import os
import sys
from collections.abc import Iterable
from enum import StrEnum
from itertools import groupby
from typing import TextIO

from paceline.client.generation import GeneratedToken, TokenOrigin

GREEN, RESET = "\x1b[32m", "\x1b[0m"
# Control characters of a model's answer must not steer the terminal: they are shown as pictures (U+2400...), those of
# U+0080 to U+009F, which have none, as U+FFFD.
CONTROL_PICTURES = {
    **{code: 0x2400 + code for code in range(32) if chr(code) not in "\n\t"},
    127: 0x2421,
    **dict.fromkeys(range(0x80, 0xA0), 0xFFFD),
}


class Marking(StrEnum):
    """How accepted draft tokens are told from the target's own."""

    NONE = "none"
    COLOUR = "colour"
    BRACKETS = "brackets"


LEGENDS = {
    Marking.COLOUR: f"{GREEN}green{RESET}: the draft's, accepted by the target; plain: the target's own",
    Marking.BRACKETS: "⟦ ⟧: the draft's, accepted by the target; the rest: the target's own",
}


def has_colour(stream: TextIO) -> bool:
    """Say whether colours are wanted: on a terminal, unless NO_COLOR is set (no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def marking_of(*, has_brackets: bool) -> Marking:
    """Return how tokens are marked where marks are wanted: with colours if stdout has some, or with brackets."""
    if has_brackets:
        return Marking.BRACKETS
    return Marking.COLOUR if has_colour(sys.stdout) else Marking.NONE


def printable(text: str) -> str:
    """Return a text that can do nothing to a terminal."""
    return text.translate(CONTROL_PICTURES)


class TokenPainter:
    """Paints one stream of tokens."""

    def __init__(self, marking: Marking, *, is_terminal: bool) -> None:
        self._marking = marking
        self._is_terminal = is_terminal

    @property
    def legend(self) -> str | None:
        """What the marks mean; None where there are none."""
        return LEGENDS.get(self._marking)

    def paint(self, tokens: tuple[GeneratedToken, ...]) -> str:
        """Return the text of tokens that came together."""
        if self._marking is Marking.NONE:
            return self._printable("".join(token.text for token in tokens))
        runs = groupby(tokens, key=lambda token: token.origin is TokenOrigin.ACCEPTED)
        return "".join(self._paint_run(run, is_accepted=is_accepted) for is_accepted, run in runs)

    def _paint_run(self, tokens: Iterable[GeneratedToken], *, is_accepted: bool) -> str:
        text = self._printable("".join(token.text for token in tokens))
        return self._mark(text) if is_accepted else text

    def _mark(self, text: str) -> str:
        if not text:
            return ""
        return f"{GREEN}{text}{RESET}" if self._marking is Marking.COLOUR else f"⟦{text}⟧"

    def _printable(self, text: str) -> str:
        return printable(text) if self._is_terminal else text
