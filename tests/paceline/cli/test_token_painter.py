"""Tokens as text: marks and control characters."""

from paceline.cli.token_painter import GREEN, RESET, Marking, TokenPainter
from paceline.client.generation import GeneratedToken, TokenOrigin

TOKENS = (
    GeneratedToken(1, "a", TokenOrigin.ACCEPTED),
    GeneratedToken(2, "b", TokenOrigin.ACCEPTED),
    GeneratedToken(3, "c", TokenOrigin.RECOVERED),
    GeneratedToken(4, "d", TokenOrigin.ACCEPTED),
    GeneratedToken(5, "e", TokenOrigin.BONUS),
)


def test_tokens_of_several_rounds_are_marked_where_they_stand() -> None:
    assert TokenPainter(Marking.BRACKETS, is_terminal=False).paint(TOKENS) == "⟦ab⟧c⟦d⟧e"
    coloured = TokenPainter(Marking.COLOUR, is_terminal=True).paint(TOKENS)
    assert coloured == f"{GREEN}ab{RESET}c{GREEN}d{RESET}e"
    assert TokenPainter(Marking.NONE, is_terminal=False).paint(TOKENS) == "abcde"


def test_control_characters_are_pictures_on_a_terminal_only() -> None:
    text = "\x1b[2J\x7f\x9b2J\r\n\té"
    tokens = (GeneratedToken(1, text, TokenOrigin.TARGET),)
    painted = TokenPainter(Marking.NONE, is_terminal=True).paint(tokens)
    assert painted == "␛[2J␡\ufffd2J␍\n\té"
    assert TokenPainter(Marking.NONE, is_terminal=False).paint(tokens) == text
