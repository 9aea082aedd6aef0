"""Which cores the pools get."""

import pytest

from paceline.errors import ConfigError
from paceline.local.core_assignment import CoreAssignment, Cores, default_cores, parse_cores, share_of


@pytest.mark.parametrize(
    ("text", "draft", "target"),
    [
        ("draft=0,target=1", {0}, {1}),
        ("draft=0,target=1-2", {0}, {1, 2}),
        ("target=1-3,draft=0", {0}, {1, 2, 3}),
        ("draft=0+2,target=1+3", {0, 2}, {1, 3}),
        ("draft=0,target=0", {0}, {0}),
        ("target=3", None, {3}),
    ],
)
def test_an_assignment_is_read(text: str, draft: set[int] | None, target: set[int]) -> None:
    assert parse_cores(text, range(4)) == CoreAssignment(
        draft=None if draft is None else Cores(draft), target=Cores(target)
    )


@pytest.mark.parametrize(
    "text", ["", "draft", "draft=", "draft=x", "draft=1-", "draft=0,draft=1", "gpu=0", "draft=4", "draft=3-2"]
)
def test_a_wrong_assignment_is_refused_with_an_example_or_the_cores_that_there_are(text: str) -> None:
    with pytest.raises(ConfigError, match=r"draft=0|0-3"):
        parse_cores(text, range(4))


@pytest.mark.parametrize(
    ("available", "expected"),
    [
        ([5], ""),
        ([0, 1], "draft=0,target=1"),
        ([2, 3], "draft=2,target=3"),
        (range(8), "draft=0-1,target=2-7"),
    ],
)
def test_the_default_splits_what_there_is(available: list[int], expected: str) -> None:
    assert default_cores(available).describe() == expected


@pytest.mark.parametrize("text", ["draft=0,target=1-3", "draft=0+2,target=1+3", "draft=0-1+3"])
def test_a_description_reads_back(text: str) -> None:
    assert parse_cores(parse_cores(text, range(4)).describe(), range(4)) == parse_cores(text, range(4))


def test_replicas_share_a_pools_cores() -> None:
    cores = Cores({0, 1, 2, 3})
    assert [share_of(cores, replica, 2) for replica in range(2)] == [{0, 2}, {1, 3}]
    assert [share_of(Cores({0}), replica, 2) for replica in range(2)] == [{0}, {0}]
    assert share_of(None, 0, 2) is None
