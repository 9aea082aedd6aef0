"""By what a finished piece is known again."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from paceline.cli.benchmark.machine import Machine
from paceline.cli.evaluation.amount import QUICK
from paceline.cli.evaluation.findings import Prices
from paceline.cli.evaluation.piece_key import PieceKeys
from paceline.cli.evaluation.plan import EvaluationPlan
from paceline.cli.evaluation.section import Section
from paceline.cli.evaluation.trial_piece import load_pieces, speed_pieces
from paceline.local.core_assignment import CoreAssignment
from tests.paceline.cli.evaluation.made_plan import MACHINE, VERSIONS, make_plan


@pytest.fixture
def plan(tmp_path: Path) -> EvaluationPlan:
    return make_plan(tmp_path)


def keys(plan: EvaluationPlan, machine: Machine = MACHINE, **more: str) -> set[str]:
    found = PieceKeys(plan, machine, VERSIONS | more)
    pieces = [*speed_pieces(plan, found, "small"), *load_pieces(plan, found, "small", 4)]
    reading = found.reading("acceptance", plan.reading(plan.amount.acceptance))
    return {*(piece.key for piece in pieces), reading}


def test_every_piece_has_a_key_of_its_own_that_stays(plan: EvaluationPlan) -> None:
    speed, load = QUICK.speed, QUICK.load
    # Each of the two prompts alone, and four sessions together.
    assert load.sessions == (1, 4)
    num_trials = 2 * 4 * speed.num_repeats + 3 * (2 + 1) * load.num_repeats
    assert len(keys(plan)) == num_trials + 1
    assert keys(plan) == keys(plan)


def test_what_a_piece_depends_on_is_in_its_key(plan: EvaluationPlan) -> None:
    before = keys(plan)
    others = [
        keys(plan, replace(MACHINE, cpu="another")),
        keys(plan, commit="abc"),
        keys(replace(plan, cores=CoreAssignment())),
        keys(replace(plan, target=replace(plan.target, weights="int4"))),
        keys(replace(plan, drafts=(replace(plan.drafts[0], weights="int4"), plan.drafts[1]))),
        keys(replace(plan, prompts=tuple(replace(one, text="Else.") for one in plan.prompts))),
    ]
    for other in others:
        assert before.isdisjoint(other)


def test_weights_that_were_written_anew_are_measured_anew(plan: EvaluationPlan) -> None:
    before = keys(plan)
    os.utime(plan.target.directory / "model.safetensors", (1.0, 1.0))
    assert before.isdisjoint(keys(plan))


def test_what_a_piece_does_not_depend_on_is_not_in_its_key(plan: EvaluationPlan) -> None:
    before = keys(plan)
    assert keys(replace(plan, prices=Prices(kwh=1.0))) == before
    assert keys(replace(plan, sections=(Section.SPEED, Section.LOAD))) == before
    # A number more is that many trials more, and those that are made stay; what is read depends on all numbers.
    more = keys(replace(plan, num_draft_tokens=(2, 3, 4)))
    assert len(before - more) == 1


def test_a_draft_less_leaves_the_trials_of_the_others(plan: EvaluationPlan) -> None:
    assert len(keys(plan) - keys(replace(plan, drafts=plan.drafts[:1]))) == 1
