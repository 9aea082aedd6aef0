"""Trials with one draft, without a cluster."""

import io
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from paceline.cli.benchmark.trial import TARGET_ONLY
from paceline.cli.evaluation.draft_trials import DraftTrials
from paceline.cli.evaluation.energy import SeveralMeters
from paceline.cli.evaluation.journal import Finished, Journal
from paceline.cli.evaluation.measured_trial import MeasuredTrial
from paceline.cli.evaluation.piece_key import PieceKeys
from paceline.cli.evaluation.plan import EvaluationPlan
from paceline.cli.evaluation.progress_view import ProgressView
from paceline.cli.evaluation.reading.foreseen import ForeseenText
from paceline.cli.evaluation.section import Section
from paceline.cli.evaluation.trial_piece import TRIAL, TrialPiece, load_pieces, speed_pieces
from tests.paceline.cli.evaluation.made_plan import MACHINE, VERSIONS, make_plan
from tests.paceline.cli.evaluation.made_trials import COSTS, alone, drafted, foreseen, trial

RIGHT, WRONG = foreseen("T" * 32), foreseen("F" * 32)


def made(piece: TrialPiece, text: ForeseenText) -> MeasuredTrial:
    """A trial in which a draft token more costs as much as any other."""
    planned, number = piece.planned, piece.planned.variant.num_draft_tokens or 2
    costs = {situation: 1 + (cost - 1) * number / 2 for situation, cost in COSTS.items()}
    answers = [
        alone((prompt.kind, prompt.name), len(text.ids))
        if planned.variant == TARGET_ONLY
        else drafted((prompt.kind, prompt.name), text, number, costs=costs)
        for prompt in planned.prompts
    ]
    return trial(planned.variant, *answers, repeat=planned.repeat)


def draft_trials(plan: EvaluationPlan, journal: Journal) -> DraftTrials:
    view = ProgressView({}, Console(file=io.StringIO()))
    return DraftTrials(plan, plan.drafts[0], _keys(plan), journal, SeveralMeters([]), view)


def test_what_is_finished_needs_no_cluster(tmp_path: Path) -> None:
    plan, journal = make_plan(tmp_path), Journal(tmp_path / "journal")
    for pieces in (speed_pieces(plan, _keys(plan), "small"), load_pieces(plan, _keys(plan), "small", 4)):
        for piece in pieces:
            journal.add(piece.key, piece.name, TRIAL, Finished(made(piece, RIGHT), 2.0))
    trials = draft_trials(plan, Journal(tmp_path / "journal"))
    trials.run()
    assert len(trials.finished) == trials.num_pieces == len(trials.speed) + len(trials.load)
    assert sum(one.seconds for one in trials.finished) == 2.0 * trials.num_pieces


def test_load_is_measured_with_the_number_that_was_fastest(tmp_path: Path) -> None:
    plan = make_plan(tmp_path)
    for text, expected in ((RIGHT, 4), (WRONG, 2)):
        journal = Journal(tmp_path / f"journal-{expected}")
        for piece in speed_pieces(plan, _keys(plan), "small"):
            journal.add(piece.key, piece.name, TRIAL, Finished(made(piece, text), 2.0))
        load = load_pieces(plan, _keys(plan), "small", expected)
        for piece in load:
            journal.add(piece.key, piece.name, TRIAL, Finished(made(piece, text), 2.0))
        assert len(draft_trials(plan, journal).load) == len(load)


def test_sections_that_are_left_out_have_no_trials(tmp_path: Path) -> None:
    plan = replace(make_plan(tmp_path), sections=(Section.ACCEPTANCE, Section.MEMORY))
    trials = draft_trials(plan, Journal(tmp_path / "journal"))
    trials.run()
    assert (trials.num_pieces, trials.speed, trials.load) == (0, [], [])


def _keys(plan: EvaluationPlan) -> PieceKeys:
    return PieceKeys(plan, MACHINE, VERSIONS)
