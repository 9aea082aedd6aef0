"""Trials of several sessions at once."""

from collections import Counter

import pytest

from paceline.cli.benchmark.prompt_set import BenchPrompt
from paceline.cli.benchmark.trial import ADAPTIVE, TARGET_ONLY, Variant
from paceline.cli.evaluation.load_plan import plan_load

A, B, C = (BenchPrompt(kind, name, name) for kind, name in (("code", "a"), ("prose", "b"), ("code", "c")))
VARIANTS = [TARGET_ONLY, Variant(3), ADAPTIVE]


@pytest.mark.parametrize(
    ("num_sessions", "expected"),
    [(1, ["a", "b"]), (2, ["ab"]), (4, ["abca"]), (6, ["abcabc"])],
)
def test_groups_go_round_the_prompts(num_sessions: int, expected: list[str]) -> None:
    planned = list(plan_load([A, B, C], VARIANTS, num_sessions, 1))
    groups = ["".join(prompt.name for prompt in one.prompts) for one in planned]
    assert groups[:: len(VARIANTS)] == expected
    assert all(len(set(groups[start : start + 3])) == 1 for start in range(0, len(groups), 3))


def test_no_group_comes_twice_in_a_repeat() -> None:
    for num_sessions in range(1, 9):
        planned = Counter(plan_load([A, B, C], VARIANTS, num_sessions, 2))
        assert set(planned.values()) == {1}


def test_every_variant_comes_first_equally_often() -> None:
    planned = list(plan_load([A, B, C], VARIANTS, 4, 6))
    assert set(Counter(one.variant for one in planned[::3]).values()) == {2}
    assert len(planned) == 18
