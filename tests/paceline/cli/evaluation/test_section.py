"""The parts of an evaluation."""

import pytest

from paceline.cli.evaluation.section import Section, parse_sections
from paceline.errors import ConfigError


def test_sections_come_in_their_own_order() -> None:
    assert parse_sections("memory, speed") == (Section.SPEED, Section.MEMORY)
    assert parse_sections(",".join(Section)) == tuple(Section)


@pytest.mark.parametrize("text", ["", "speed,beauty", "beauty"])
def test_an_unknown_section_is_refused_with_those_that_there_are(text: str) -> None:
    with pytest.raises(ConfigError, match="acceptance,speed,load,memory,quantisation,cost"):
        parse_sections(text)


def test_a_cost_needs_something_that_was_timed() -> None:
    with pytest.raises(ConfigError, match="speed or load"):
        parse_sections("memory,cost")
    assert parse_sections("cost,load") == (Section.LOAD, Section.COST)
