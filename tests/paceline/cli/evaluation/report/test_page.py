"""The page as text: every figure is the JSON's, nothing comes from elsewhere, what is not there is said."""

import re
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from paceline.cli.evaluation.findings import Evaluation
from paceline.cli.evaluation.report.language import Language
from paceline.cli.evaluation.report.located import Located
from paceline.cli.evaluation.report.page import page
from paceline.cli.evaluation.report.statement import statement_of
from paceline.cli.evaluation.report.teller import Teller
from tests.paceline.cli.evaluation.report.sample import BAD, GOOD, left_out, sample
from tests.paceline.cli.evaluation.report.shown import Shown, at_path, descendants, elements, held_json

SECTIONS = ("speed", "latency", "acceptance", "size", "memory", "formats", "load", "costs")


@pytest.fixture(scope="module", params=list(Language))
def language(request: pytest.FixtureRequest) -> Language:
    return request.param


@pytest.fixture(scope="module")
def html(language: Language) -> str:
    return page(sample(), language)


@pytest.fixture(scope="module")
def shown(html: str) -> list[Shown]:
    return elements(html)


@pytest.fixture(scope="module")
def document(shown: list[Shown]) -> Any:
    return held_json(shown)


def traced(shown: list[Shown]) -> list[Shown]:
    return [one for one in shown if "data-json" in one.attributes]


def said_of(evaluation: Evaluation, place: int, language: Language = Language.EN) -> str:
    """What is said of a draft."""
    located = Located(evaluation)
    statement = statement_of(located.verdicts[place], located, Teller(language))
    return " ".join((statement.headline, *statement.sentences))


def test_the_page_holds_the_evaluation(document):
    assert document["format_version"] == 1
    assert document["verdicts"][0]["draft"] == GOOD
    assert len(document["speed"]) == len(sample().speed)


def test_every_figure_is_the_one_at_its_path(document, shown):
    figures = [one for one in traced(shown) if "data-scale" in one.attributes]
    assert len(figures) > 500
    for one in figures:
        value = at_path(document, one.attributes["data-json"])
        if "data-over" in one.attributes:
            value /= at_path(document, one.attributes["data-over"])
        digits = len(one.text.partition(".")[2])
        shown_value = float(one.text.replace(",", "")) * float(one.attributes["data-scale"])
        half_of_last_digit = 0.5 * 10**-digits * float(one.attributes["data-scale"])
        assert abs(shown_value - value) <= half_of_last_digit * (1 + 1e-6), one


def test_every_name_is_the_one_at_its_path(document, shown):
    names = [one for one in traced(shown) if "data-scale" not in one.attributes]
    assert names
    for one in names:
        assert one.text == at_path(document, one.attributes["data-json"])


def test_no_cell_of_a_table_has_a_number_without_a_path(shown):
    cells = [one for one in shown if one.tag == "td"]
    assert len(cells) > 300
    assert [one.text for one in cells if re.search(r"\d", one.untraced)] == []


def test_every_mark_of_a_plot_stands_where_its_figure_has_it(document, shown):
    plots = [one for one in shown if one.tag == "svg" and "role" in one.attributes]
    assert len(plots) > 10
    for plot in plots:
        points = {
            (at_path(document, mark.attributes["data-mark"]), place)
            for mark in descendants(plot)
            if "data-mark" in mark.attributes
            for place in [_place(mark, is_upwards=bool(_columns(plot)))]
        }
        (low, at_low), (high, at_high) = min(points), max(points)
        for value, place in points:
            share = (value - low) / (high - low)
            assert place == pytest.approx(at_low + share * (at_high - at_low), abs=0.02)


def _columns(plot: Shown) -> bool:
    return not any("row-name" in one.classes for one in descendants(plot))


def _place(mark: Shown, *, is_upwards: bool) -> float:
    (symbol,) = (one for one in mark.children if "symbol" in one.classes)
    x, y = re.findall(r"[\d.]+", symbol.attributes["transform"])
    return float(y if is_upwards else x)


def test_the_page_needs_no_other_file(html, shown):
    assert [one.tag for one in shown if "src" in one.attributes] == []
    links = [one.attributes["href"] for one in shown if "href" in one.attributes]
    assert all(link.startswith("#") or link == "data:," for link in links)
    assert not re.search(r"@import|url\(|https?://", html)
    policy = next(one for one in shown if one.attributes.get("http-equiv") == "Content-Security-Policy")
    assert policy.attributes["content"].startswith("default-src 'none'")


def test_the_page_is_made_for_reading_aloud_and_jumping_about(language, shown):
    assert next(one for one in shown if one.tag == "html").attributes["lang"] == language
    ids = [one.attributes["id"] for one in shown if "id" in one.attributes]
    assert len(ids) == len(set(ids))
    named = {name for one in shown for name in one.attributes.get("aria-labelledby", "").split()}
    jumps = {one.attributes["href"][1:] for one in shown if one.tag == "a"}
    assert named | jumps <= set(ids)
    assert set(SECTIONS) <= jumps
    levels = [int(one.tag[1]) for one in shown if re.fullmatch(r"h[1-6]", one.tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    for table in (one for one in shown if one.tag == "table"):
        assert table.children[0].tag == "caption"
        assert all(one.attributes["scope"] for one in descendants(table) if one.tag == "th")
    for plot in (one for one in shown if one.tag == "svg"):
        assert plot.attributes.get("aria-hidden") == "true" or plot.children[0].tag == "title"


def test_nothing_is_printed_that_was_not_meant_to_be(shown):
    text = "".join(one.text for one in shown if one.tag in {"main", "header", "footer"})
    assert not re.search(r"Located|None|Undefined|nan|\{|\}|&lt;|<", text)


def test_what_was_left_out_is_said_and_no_zero_stands_for_it(language):
    shown = elements(page(left_out(), language))
    for section in SECTIONS:
        (element,) = (one for one in shown if one.attributes.get("id") == section)
        assert [one.tag for one in descendants(element)] == ["h2", "p"]
        assert element.children[1].classes == ["left-out"]
    assert not [one for one in shown if one.tag == "article"]


def test_a_figure_that_is_not_known_is_a_dash_that_says_why(shown):
    dashes = [one for one in shown if "missing" in one.classes]
    assert len({one.attributes["title"] for one in dashes}) >= 5
    for one in dashes:
        assert one.text == "–"
        assert one.attributes["aria-label"] == one.attributes["title"]


def test_a_draft_that_pays_is_told_so_with_its_worst_case_and_its_guard():
    said = said_of(sample(), 0)
    assert f"Use {GOOD} with K = 3: expect" in said
    assert re.search(
        r"expect \d\.\d\d× \(\d\.\d\d–\d\.\d\d\) on code, .* and \d\.\d\d× .* on Japanese\.", said
    )
    assert re.search("[Ww]orst case with K = 3", said)
    assert "Guarded by adaptive mode" in said


def test_a_draft_that_does_not_pay_is_told_so_plainly():
    said = said_of(sample(), 1)
    assert f"Do not use {BAD}." in said
    assert "accepts only 13% of its tokens" in said
    assert "it pays from 37% on" in said


@pytest.mark.parametrize("language", list(Language))
@pytest.mark.parametrize("break_even", [None, 0.05, 0.5])
def test_every_reason_against_a_draft_has_words(language, break_even):
    evaluation = sample()
    reasons = ("low-acceptance", "slow-draft", "within-noise")
    verdicts = [
        replace(evaluation.verdicts[1], reason=reason, break_even_acceptance=break_even) for reason in reasons
    ]
    told = {said_of(replace(evaluation, verdicts=(verdict,)), 0, language) for verdict in verdicts}
    assert len(told) == len(reasons)


def test_a_draft_that_pays_for_some_is_not_recommended_for_the_others():
    evaluation = sample()
    good = evaluation.verdicts[0]
    kinds = tuple(
        replace(one, num_draft_tokens=None) if one.kind in {"prose", "japanese"} else one
        for one in good.kinds
    )
    some = replace(good, answer="use-for-some", reason="pays-for-some", kinds=kinds, is_adaptive_safe=False)
    said = said_of(replace(evaluation, verdicts=(some,)), 0)
    assert "with K = 3 for code, chat and summaries only" in said
    assert "For prose and Japanese no K is faster beyond noise" in said
    assert "Adaptive mode is no guard here" in said


def test_an_interval_that_includes_one_is_named():
    evaluation = replace(left_out(), speed=sample().speed[:6])
    *target_only, first = evaluation.speed
    assert first.speed_up is not None
    unclear = replace(first, speed_up=replace(first.speed_up, value=1.02, low=0.97, high=1.06))
    clear_note, unclear_note = (
        next(one.text for one in elements(page(known, Language.EN)) if "noise" in one.classes)
        for known in (evaluation, replace(evaluation, speed=(*target_only, unclear)))
    )
    assert "No interval includes 1" in clear_note
    assert "include 1" in unclear_note
    assert "code K = 2" in unclear_note


def test_other_ids_than_the_targets_own_are_an_alarm(shown):
    evaluation = replace(left_out(), speed=sample().speed[:6])
    broken = (*evaluation.speed[:-1], replace(evaluation.speed[-1], is_identical=False))
    marks = [
        next(one.attributes["data-identical"] for one in page_shown if "identity" in one.classes)
        for page_shown in (shown, elements(page(replace(evaluation, speed=broken), Language.EN)))
    ]
    assert marks == ["true", "false"]


def test_names_of_the_users_own_are_escaped():
    evaluation = replace(left_out(), speed=sample().speed[:6])
    odd = "<b>my kind's</b>"
    speed = tuple(replace(one, kind=odd) if one.kind == "code" else one for one in evaluation.speed)
    about = replace(evaluation.about, num_prompts_by_kind={odd: 3}, notes=("</script><p>",))
    html = page(replace(evaluation, speed=speed, about=about), Language.EN)
    assert "<b>my" not in html
    shown = elements(html)
    document = held_json(shown)
    assert document["about"]["num_prompts_by_kind"] == {odd: 3}
    assert document["about"]["notes"] == ["</script><p>"]
    number = next(one for one in shown if "num_prompts_by_kind" in one.attributes.get("data-json", ""))
    assert at_path(document, number.attributes["data-json"]) == 3


def test_a_single_measurement_has_no_interval():
    evaluation = replace(left_out(), speed=sample().speed[:6])
    speeds = tuple(
        one if one.speed_up is None else replace(one, speed_up=replace(one.speed_up, count=1))
        for one in evaluation.speed
    )
    html = page(replace(evaluation, speed=speeds), Language.EN)
    assert "(measured once)" in html
