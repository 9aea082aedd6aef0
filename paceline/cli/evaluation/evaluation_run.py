"""One run of an evaluation: what the journal lacks is measured, and then all is put together."""

from collections.abc import Mapping
from datetime import UTC, datetime
from time import monotonic
from typing import TypeVar

from paceline.cli.benchmark.machine import this_command, this_machine, versions
from paceline.cli.evaluation.assembly import (
    NO_ACCEPTANCE,
    NO_FORMATS,
    NO_MEMORY,
    DraftMeasurements,
    Readings,
    assemble,
)
from paceline.cli.evaluation.draft_trials import DraftTrials
from paceline.cli.evaluation.energy import find_meter
from paceline.cli.evaluation.findings import About, Evaluation
from paceline.cli.evaluation.journal import Finished, Journal
from paceline.cli.evaluation.piece_key import PieceKeys
from paceline.cli.evaluation.plan import EvaluationPlan, by_kind
from paceline.cli.evaluation.progress_view import ProgressView
from paceline.cli.evaluation.reading_piece import MODELS, ReadingPiece, reading_pieces
from paceline.cli.evaluation.section import Section

T = TypeVar("T")

_MODELS_MINUTES = 0.8


class EvaluationRun:
    """Does what a plan says and a journal lacks."""

    def __init__(self, plan: EvaluationPlan, journal: Journal, view: ProgressView) -> None:
        self._plan = plan
        self._journal = journal
        self._view = view
        self._machine, self._versions = this_machine(), versions()
        self._meter = find_meter()
        keys = PieceKeys(plan, self._machine, self._versions)
        self._readings = reading_pieces(plan, keys)
        self._trials = [DraftTrials(plan, draft, keys, journal, self._meter, view) for draft in plan.drafts]

    def run(self) -> Evaluation:
        """Return the findings, after minutes or hours; raises what models and services raise, and StoppedError."""
        began_at, started = monotonic(), datetime.now(UTC)
        resumed_seconds = self._resume()
        readings = self._readings
        steps = self._read(readings.steps)
        acceptance = self._read(readings.acceptance) if readings.acceptance else NO_ACCEPTANCE
        for trials in self._trials:
            trials.run()
        memory = self._read(readings.memory) if readings.memory else NO_MEMORY
        formats = self._read(readings.formats) if readings.formats else NO_FORMATS
        return assemble(
            self._about(started, monotonic() - began_at + resumed_seconds),
            self._plan.prices,
            Readings(steps, acceptance, memory, formats),
            [DraftMeasurements(one.draft.name, one.speed, one.load) for one in self._trials],
            energy_source=self._meter.source,
            has_costs=Section.COST in self._plan.sections,
            max_tokens=self._plan.amount.speed.max_tokens,
        )

    def _resume(self) -> float:
        """Tell what the journal has, and return the seconds that it took."""
        found = [self._journal.find(piece.key, piece.form) for piece in self._readings]
        finished = [one.seconds for one in found if one is not None]
        finished += [one.seconds for trials in self._trials for one in trials.finished]
        if finished:
            num_pieces = len(found) + sum(trials.num_pieces for trials in self._trials)
            self._view.say(f"resumed: {len(finished)} of {num_pieces} pieces")
        return sum(finished)

    def _read(self, piece: ReadingPiece[T]) -> T:
        """Return a reading, made now unless the journal has it."""
        if finished := self._journal.find(piece.key, piece.form):
            self._view.skip(piece.name)
            return finished.value
        began_at = monotonic()
        with self._view.part(piece.name) as progress:
            value = piece.read(progress)
        self._journal.add(piece.key, piece.name, piece.form, Finished(value, monotonic() - began_at))
        return value

    def _about(self, started: datetime, seconds: float) -> About:
        plan = self._plan
        return About(
            this_command(),
            self._machine,
            self._versions,
            plan.cores.describe(),
            plan.amount.name,
            started.isoformat(timespec="seconds"),
            seconds,
            {kind: len(same) for kind, same in by_kind(plan.speed_prompts).items()},
            plan.amount.speed.max_tokens,
            plan.amount.speed.num_repeats,
            tuple(_notes(plan)),
        )


def part_minutes(plan: EvaluationPlan) -> Mapping[str, float]:
    """Return about how long each part in progress takes, by its name."""
    minutes = {MODELS: _MODELS_MINUTES}
    for section in plan.sections:
        if section in plan.amount.minutes:
            minutes |= dict.fromkeys(plan.part_names(section), plan.amount.minutes[section])
    return minutes


def _notes(plan: EvaluationPlan) -> list[str]:
    left_out = [section.value for section in Section if section not in plan.sections]
    notes = [f"Left out: {', '.join(left_out)}; --sections names what is looked into."] if left_out else []
    num_used, num_given = len(plan.speed_prompts), len(plan.prompts)
    if Section.SPEED in plan.sections and num_used < num_given:
        notes.append(
            f"The speed of {num_used} of {num_given} prompts was measured; --thorough measures more."
        )
    return notes
