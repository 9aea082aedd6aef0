"""What a draft has gone on behind when a round ends otherwise than it thought."""

import pytest

from paceline.cli.evaluation.reading.foreseen import ForeseenText
from paceline.sampling.outlook import Outlook

# The draft is sure of 0 and 1, torn between 2 and others, and would not think of 4.
TEXT = ForeseenText(
    (0, 1, 2, 3, 4),
    (
        Outlook((0, 10), (0.9, 0.1)),
        Outlook((1, 11), (0.95, 0.05)),
        Outlook((12, 2, 13, 14), (0.4, 0.3, 0.2, 0.1)),
        Outlook((3,), (1.0,)),
        Outlook((15, 16), (0.6, 0.4)),
    ),
)


def test_it_agrees_where_its_own_choice_is_the_target_s() -> None:
    assert TEXT.agrees == (True, True, False, True, False)
    assert TEXT.until(3).agrees == (True, True, False)


@pytest.mark.parametrize(
    ("place", "num_draft_tokens", "num_accepted", "expected"),
    [
        (0, 3, 2, True),  # 2 has a chance of 0.9 * 0.95 * 0.3
        (2, 1, 0, True),
        (2, 3, 0, True),
        (1, 1, 1, True),  # it is sure of 1, and finds 2 next best behind it
        (3, 2, 1, False),  # of the ids in place of 15 it thinks of 16 only
        (3, 1, 1, False),
    ],
)
def test_an_outcome_is_guessed_where_its_token_is_among_the_likeliest(
    place: int, num_draft_tokens: int, num_accepted: int, expected: bool
) -> None:
    assert TEXT.is_guessed(place, num_draft_tokens, num_accepted) is expected


def test_no_more_than_three_outcomes_are_guessed() -> None:
    ids = [12, 2, 13, 14, 15]
    for rank, expected in ((1, True), (2, True), (3, True), (4, False)):
        text = ForeseenText([ids[rank]], [Outlook(tuple(ids), (0.4, 0.2, 0.15, 0.13, 0.12))])
        assert text.is_guessed(0, 1, 0) is expected
