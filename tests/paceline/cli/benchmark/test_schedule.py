"""The order of trials."""

from collections import Counter

import pytest

from paceline.cli.benchmark.prompt_set import BenchPrompt
from paceline.cli.benchmark.schedule import groups_of, plan_trials
from paceline.cli.benchmark.trial import TARGET_ONLY, Variant

A, B, C = (BenchPrompt("code", name, name) for name in "abc")
OTHER = BenchPrompt("prose", "d", "d")
VARIANTS = [TARGET_ONLY, Variant(3), Variant(5)]


def test_every_variant_meets_every_prompt_in_every_repeat() -> None:
    planned = Counter(plan_trials([A, B], VARIANTS, num_repeats=2, num_sessions=1))
    assert len(planned) == 2 * 2 * 3
    assert set(planned.values()) == {1}


def test_the_variants_of_a_prompt_follow_each_other() -> None:
    planned = list(plan_trials([A, B], VARIANTS, num_repeats=2, num_sessions=1))
    for start in range(0, len(planned), 3):
        assert len({(one.repeat, one.prompts) for one in planned[start : start + 3]}) == 1


def test_each_variant_comes_first_equally_often() -> None:
    planned = list(plan_trials([A, B, C], VARIANTS, num_repeats=3, num_sessions=1))
    assert set(Counter(one.variant for one in planned[::3]).values()) == {3}


@pytest.mark.parametrize(
    ("num_sessions", "expected"),
    [(1, ["a", "b", "c", "d"]), (2, ["ab", "bc", "ca", "dd"]), (4, ["abca", "bcab", "cabc", "dddd"])],
)
def test_a_group_holds_prompts_of_one_kind(num_sessions: int, expected: list[str]) -> None:
    groups = groups_of([A, B, OTHER, C], num_sessions)
    assert ["".join(prompt.name for prompt in group) for group in groups] == expected
