"""All that was measured, put together."""

import json

import pytest

from paceline.cli.benchmark.machine import Machine
from paceline.cli.benchmark.trial import ADAPTIVE, TARGET_ONLY
from paceline.cli.evaluation.agreement import TextMismatchError
from paceline.cli.evaluation.assembly import DraftMeasurements, Readings, assemble
from paceline.cli.evaluation.findings import About, Acceptance, Estimate, Evaluation, Prices, SizeRatio
from paceline.cli.evaluation.reading.acceptance import AcceptanceReading, ReadText
from paceline.cli.evaluation.reading.foreseen import ForeseenText
from paceline.cli.evaluation.reading.steps import StepReading
from tests.paceline.cli.evaluation.made_trials import Prompt, drafted, foreseen, trial, trials_of

CODE, PROSE = ("code", "a"), ("prose", "b")
TEXTS = {CODE: foreseen("TTTTTTTTFTTTTTTT" * 2), PROSE: foreseen("TFFTFTFFTFTTTFTT" * 2)}
MAX_TOKENS = 32
ABOUT = About(
    "paceline evaluate",
    Machine("cpu", 2, 2, 8.0, "6"),
    {"paceline": "0"},
    "draft=0,target=1",
    "quick",
    "2026-11-28T00:00:00+00:00",
    60.0,
    {"code": 1, "prose": 1},
    MAX_TOKENS,
    3,
    ("a note",),
)
STEPS = StepReading((), (SizeRatio("small", 3.0, 6.0, 4.0, {"2": 0.4, "4": 0.5}),))


def acceptance(draft: str, value: float) -> AcceptanceReading:
    estimate = Estimate(value, value, value, 1)
    return AcceptanceReading(
        (Acceptance(draft, "all", "greedy", 64, estimate, (value,), None, None, None, {"2": 2.0}),),
        tuple(_read(draft, prompt, text) for prompt, text in TEXTS.items()),
    )


def evaluation(*measurements: DraftMeasurements, readings: Readings | None = None) -> Evaluation:
    return assemble(
        ABOUT,
        Prices(),
        readings or Readings(STEPS, acceptance("small", 0.7)),
        measurements,
        energy_source="not measured",
        has_costs=True,
        max_tokens=MAX_TOKENS,
    )


def measured(draft: str = "small") -> DraftMeasurements:
    answers = [drafted(prompt, text, 2) for prompt, text in TEXTS.items()]
    load = [trial(variant, *answers, draft=draft) for variant in (TARGET_ONLY, ADAPTIVE)]
    return DraftMeasurements(draft, trials_of(TEXTS, [2, 4], draft=draft), load)


def test_everything_is_in_the_json() -> None:
    found = json.loads(json.dumps(evaluation(measured()).to_json()))
    assert found["about"]["notes"] == ["a note"]
    assert {(one["kind"], one["variant"]) for one in found["speed"]} == {
        (kind, variant)
        for kind in ("code", "prose")
        for variant in ("target-only", "K = 2", "K = 4", "adaptive")
    }
    assert {(one["draft"], one["num_sessions"]) for one in found["load"]} == {("", 2), ("small", 2)}
    assert [one["num_draft_tokens"] for one in found["round_costs"]] == [2, 4]
    assert {one["num_sessions"] for one in found["costs"]} == {1, 2}
    assert [one["draft"] for one in found["verdicts"]] == ["small"]


def test_fixed_numbers_of_draft_tokens_are_foretold() -> None:
    for speed in evaluation(measured()).speed:
        if speed.num_draft_tokens is None:
            assert speed.predicted_speed_up is None
        else:
            assert speed.speed_up is not None
            assert speed.predicted_speed_up == pytest.approx(speed.speed_up.value, rel=0.1)


def test_the_target_alone_is_told_once_for_several_drafts() -> None:
    found = evaluation(measured("small"), measured("smaller"))
    alone = [speed for speed in found.speed if speed.variant == "target-only"]
    assert [(speed.draft, speed.kind, speed.tokens_per_second.count) for speed in alone] == [
        ("", "code", 6),
        ("", "prose", 6),
    ]
    assert [speed.draft for speed in found.load] == ["", "small", "smaller"]
    assert [(cost.draft, cost.num_sessions) for cost in found.costs if not cost.draft] == [("", 1), ("", 2)]
    assert [verdict.draft for verdict in found.verdicts] == ["small", "smaller"]


def test_a_verdict_weighs_the_acceptance_that_was_read_else_that_of_the_trials() -> None:
    [read] = evaluation(measured()).verdicts
    assert read.acceptance == 0.7
    assert read.break_even_acceptance in {0.4, 0.5}
    [counted] = evaluation(measured(), readings=Readings(StepReading((), ()))).verdicts
    assert 0 < counted.acceptance < 1
    assert counted.break_even_acceptance is None


def test_what_was_left_out_is_empty() -> None:
    found = evaluation()
    assert (found.speed, found.load, found.costs, found.verdicts, found.round_costs) == ((), (), (), (), ())
    assert len(found.acceptance) == 1


def test_texts_that_differ_stop_it() -> None:
    texts = (_read("small", prompt, text.until(31)) for prompt, text in TEXTS.items())
    shorter = AcceptanceReading((), tuple(texts))
    with pytest.raises(TextMismatchError):
        evaluation(measured(), readings=Readings(STEPS, shorter))


def _read(draft: str, prompt: Prompt, text: ForeseenText) -> ReadText:
    return ReadText(draft, *prompt, tuple(text.ids), tuple(text.outlooks))
