"""The summary for the terminal: about a screen, and columns that stand below each other in Japanese too."""

import re
from dataclasses import replace

import pytest
from rich.cells import cell_len
from rich.console import Console

from paceline.cli.evaluation.findings import Evaluation
from paceline.cli.evaluation.report.language import Language
from paceline.cli.evaluation.report.summary import summary
from tests.paceline.cli.evaluation.report.sample import BAD, GOOD, left_out, sample

MOST_LINES = 60


def lines(evaluation: Evaluation, language: Language, width: int = 120) -> list[str]:
    console = Console(width=width, color_system=None, highlight=False)
    with console.capture() as captured:
        console.print(summary(evaluation, language))
    return captured.get().splitlines()


@pytest.mark.parametrize("language", list(Language))
def test_it_fits_a_screen(language):
    told = lines(sample(), language)
    assert len(told) <= MOST_LINES
    assert max(map(cell_len, told)) <= 120


def test_it_says_what_to_do_and_what_the_figures_are():
    told = " ".join(" ".join(lines(sample(), Language.EN)).split())
    assert f"Use {GOOD} with K = 3: expect" in told
    assert f"Do not use {BAD}." in told
    assert f"Accepted of {GOOD}: code 78%, prose 61%" in told
    assert "KV of qwen2.5-coder-1.5b-instruct, f32: 57,344 B a token predicted" in told
    assert "A million tokens, target alone:" in told
    assert "exactly the token ids of the target alone" in told
    assert re.search(r"Longest wait for text, ms, .*: code \d+ -> \d+,", told)


@pytest.mark.parametrize("language", list(Language))
@pytest.mark.parametrize("width", [80, 120])
def test_columns_stand_below_each_other(language, width):
    told = lines(sample(), language, width)
    ends = [
        [cell_len(line[: match.end()]) for match in re.finditer(r"\d\.\d\d \[\d\.\d\d\]", line)]
        for line in told
    ]
    rows = [places for places in ends if places]
    assert len(rows) == 10  # five kinds, two drafts
    assert len({tuple(places) for places in rows[:5]}) == 1
    assert len({tuple(places) for places in rows[5:]}) == 1
    assert max(map(cell_len, told)) <= width


def test_the_best_number_is_marked_unless_none_pays():
    told = "\n".join(lines(sample(), Language.EN))
    good, bad = told.split(f"{BAD}: speed-up")
    assert len(re.findall(r"\*\d\.\d\d", good)) == 5
    assert "*" not in bad.partition("\n")[2]


@pytest.mark.parametrize("language", list(Language))
def test_nothing_is_told_of_what_was_left_out(language):
    told = "\n".join(lines(left_out(), language))
    assert "None" not in told
    assert not re.search(r"\d", told.replace("1.5b", ""))


def test_other_ids_than_the_targets_own_are_an_alarm():
    evaluation = sample()
    broken = (*evaluation.speed[:-1], replace(evaluation.speed[-1], is_identical=False))
    assert "must never be" in " ".join(lines(replace(evaluation, speed=broken), Language.EN))
