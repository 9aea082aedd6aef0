"""The line that says what a generation came to."""

from dataclasses import replace

from paceline.cli.generation_view import describe_summary
from paceline.client.generation import (
    DraftLengthChoice,
    FinishReason,
    GenerationSummary,
    GenerationTiming,
    SpeculationSummary,
    Usage,
)

SPECULATION = SpeculationSummary(31, 124, 65, (31, 31, 31, 31), (25, 20, 12, 8), 40, {})
SUMMARY = GenerationSummary(
    FinishReason.LENGTH,
    Usage(10, 96, 0),
    SPECULATION,
    GenerationTiming(0.42, 1 / 16.8, 6.1, 0.5, 4.0, 0.1, 0.2, 0.0),
)


def described(choice: DraftLengthChoice | None) -> str:
    return describe_summary(replace(SUMMARY, speculation=replace(SPECULATION, choice=choice)))


def test_a_choice_is_given_with_its_reason_and_what_was_expected():
    line = described(DraftLengthChoice(4, 6, "PAYS", 0.8, 3.2, 16.94, 9.06, 0.01, 0.15, 4))
    assert "65 of 124 draft tokens accepted (52%)" in line
    assert "at the end 4 a round (PAYS: 16.9 tok/s expected, 9.1 without)" in line


def test_no_draft_tokens_are_explained_by_the_best_length_that_there_was():
    line = described(DraftLengthChoice(0, 6, "DRAFT_TOO_SLOW", 0.6, 1.6, 7.5, 9.06, 0.2, 0.14, 1))
    assert "at the end none (DRAFT_TOO_SLOW: 7.5 tok/s expected with 1, 9.1 without)" in line


def test_nothing_is_said_where_nothing_was_to_be_chosen():
    assert described(DraftLengthChoice(5, 6, "FIXED")) == described(None)
