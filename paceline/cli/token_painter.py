"""Generated tokens as text for a terminal or a file."""

import os
import sys
from enum import StrEnum
from typing import TextIO

from paceline.client.generation import GeneratedToken, TokenOrigin

GREEN, RESET = "\x1b[32m", "\x1b[0m"
# Control characters of a model's answer must not steer the terminal: they are shown as pictures (U+2400...).
CONTROL_PICTURES = {code: 0x2400 + code for code in range(32) if chr(code) not in "\n\t"} | {127: 0x2421}


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
        accepted = "".join(token.text for token in tokens if token.origin is TokenOrigin.ACCEPTED)
        own = "".join(token.text for token in tokens if token.origin is not TokenOrigin.ACCEPTED)
        return self._mark(self._printable(accepted)) + self._printable(own)

    def _mark(self, text: str) -> str:
        if not text:
            return ""
        return f"{GREEN}{text}{RESET}" if self._marking is Marking.COLOUR else f"⟦{text}⟧"

    def _printable(self, text: str) -> str:
        return text.translate(CONTROL_PICTURES) if self._is_terminal else text
