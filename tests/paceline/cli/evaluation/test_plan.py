"""Which prompts are used."""

import pytest

from paceline.cli.benchmark.prompt_set import BenchPrompt
from paceline.cli.evaluation.plan import by_kind, first_prompts, require_prompts, taking_turns
from paceline.errors import ConfigError


def prompts(**numbers: int) -> list[BenchPrompt]:
    return [BenchPrompt(kind, f"{kind} {place}", "") for kind, num in numbers.items() for place in range(num)]


def names(found: tuple[BenchPrompt, ...]) -> list[str]:
    return [prompt.name for prompt in found]


def test_the_first_of_each_kind_are_used() -> None:
    given = prompts(a=3, b=3, c=3, d=3, e=1)
    assert names(first_prompts(given, 2)) == ["a 0", "a 1", "b 0", "b 1", "c 0", "c 1", "d 0", "d 1", "e 0"]


def test_a_file_of_ones_own_has_as_many_as_five_kinds_have() -> None:
    assert len(first_prompts(prompts(mine=20), 2)) == 10
    assert len(first_prompts(prompts(mine=3), 2)) == 3


def test_kinds_take_turns() -> None:
    assert names(taking_turns(prompts(a=3, b=1))) == ["a 0", "b 0", "a 1", "a 2"]
    assert list(by_kind(prompts(b=1, a=1))) == ["b", "a"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([], "no prompt"),
        ([*prompts(mine=2), *prompts(mine=1)], "two prompts of kind mine have the name 'mine 0'"),
    ],
)
def test_prompts_that_cannot_be_told_apart_are_refused(given: list[BenchPrompt], expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        require_prompts(given)
