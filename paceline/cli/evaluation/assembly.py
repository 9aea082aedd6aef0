"""All that was measured, put together: plain data in, plain data out."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from paceline.cli.benchmark.trial import TARGET_ONLY
from paceline.cli.evaluation.agreement import ForeseenTexts
from paceline.cli.evaluation.contenders import contenders_of
from paceline.cli.evaluation.cost import costs_of
from paceline.cli.evaluation.findings import About, Cost, Evaluation, Prices, SizeRatio, Speed, Verdict
from paceline.cli.evaluation.forecast import forecast_of
from paceline.cli.evaluation.measured_trial import ALL_KINDS, MeasuredTrial, with_variant
from paceline.cli.evaluation.reading.acceptance import GREEDY, AcceptanceReading
from paceline.cli.evaluation.reading.formats import FormatReading
from paceline.cli.evaluation.reading.kv_memory import MemoryReading
from paceline.cli.evaluation.reading.steps import StepReading
from paceline.cli.evaluation.round_costs import round_costs_of
from paceline.cli.evaluation.speeds import acceptance_of, speeds_of
from paceline.cli.evaluation.verdict import verdict_of

NO_ACCEPTANCE = AcceptanceReading((), ())
NO_MEMORY = MemoryReading((), (), ())
NO_FORMATS = FormatReading((), (), (), ())


@dataclass(frozen=True)
class Readings:
    """What was read in this process; what was left out is empty."""

    steps: StepReading
    acceptance: AcceptanceReading = NO_ACCEPTANCE
    memory: MemoryReading = NO_MEMORY
    formats: FormatReading = NO_FORMATS

    def texts(self, draft: str) -> ForeseenTexts:
        """Return the target's texts as a draft foresaw them."""
        return {(one.kind, one.prompt): one.foreseen for one in self.acceptance.texts if one.draft == draft}

    def acceptance_of(self, draft: str) -> float | None:
        """Return the share of all greedy positions where a draft agrees; None where that was left out."""
        return next(
            (
                one.observed.value
                for one in self.acceptance.acceptance
                if (one.draft, one.kind, one.sampling) == (draft, ALL_KINDS, GREEDY)
            ),
            None,
        )

    def size_ratio(self, draft: str) -> SizeRatio | None:
        """Return how a draft compares with the target in size."""
        return next((one for one in self.steps.size_ratios if one.draft == draft), None)


@dataclass(frozen=True)
class DraftMeasurements:
    """The trials with one draft, those of one session each and those under load; empty where they were left out."""

    draft: str
    speed: Sequence[MeasuredTrial]
    load: Sequence[MeasuredTrial]


def assemble(
    about: About,
    prices: Prices,
    readings: Readings,
    measurements: Sequence[DraftMeasurements],
    *,
    energy_source: str,
    has_costs: bool,
    max_tokens: int,
) -> Evaluation:
    """Return everything that follows from what was measured.

    `max_tokens` is that of the speed's trials. Raises TextMismatchError where trials and readings are not of the same
    texts.
    """
    drafts = [_DraftFindings(one, readings, max_tokens) for one in measurements]
    notes = [*about.notes, *readings.memory.notes, *readings.formats.notes]
    notes += [note for draft in drafts for note in draft.notes]
    trials = [[*one.speed, *one.load] for one in measurements]
    return Evaluation(
        replace(about, notes=tuple(dict.fromkeys(notes))),
        prices,
        readings.steps.models,
        readings.acceptance.acceptance,
        tuple(cost for one in measurements for cost in round_costs_of(one.speed)),
        (
            *_alone([one.speed for one in measurements]),
            *(speed for draft in drafts for speed in draft.speeds),
        ),
        readings.steps.size_ratios,
        readings.memory.memory,
        readings.memory.costs,
        readings.formats.targets,
        readings.formats.drafts,
        readings.formats.pairs,
        (
            *_alone([one.load for one in measurements], are_mixed=True),
            *(speed for draft in drafts for speed in draft.loads),
        ),
        tuple(_costs(trials, prices, energy_source)) if has_costs else (),
        tuple(draft.verdict for draft in drafts if draft.verdict is not None),
    )


class _DraftFindings:
    """What follows from the trials with one draft."""

    def __init__(self, measured: DraftMeasurements, readings: Readings, max_tokens: int) -> None:
        forecast = forecast_of(measured.speed, readings.texts(measured.draft), max_tokens)
        speeds = speeds_of(measured.speed)
        self.notes = forecast.notes
        self.speeds = [
            replace(speed, predicted_speed_up=forecast.speed_ups.get((speed.kind, speed.num_draft_tokens)))
            if speed.num_draft_tokens is not None
            else speed
            for speed in _drafted(speeds)
        ]
        self.loads = _drafted(speeds_of(measured.load, are_mixed=True))
        self.verdict = self._verdict(measured, readings, speeds)

    def _verdict(
        self, measured: DraftMeasurements, readings: Readings, speeds: Sequence[Speed]
    ) -> Verdict | None:
        size_ratio = readings.size_ratio(measured.draft)
        acceptance = readings.acceptance_of(measured.draft)
        if acceptance is None:
            # Where nothing was read: of the draft tokens that were judged, which is less for long rounds.
            acceptance = acceptance_of([one for trial in measured.speed for one in trial.answers]) or 0.0
        return verdict_of(
            measured.draft,
            contenders_of(measured.speed, speeds),
            acceptance,
            size_ratio.break_even_acceptance if size_ratio is not None else {},
            [
                load.speed_up
                for load in self.loads
                if load.num_draft_tokens is None and load.speed_up is not None
            ],
        )


def _drafted(speeds: Sequence[Speed]) -> list[Speed]:
    return [speed for speed in speeds if speed.draft]


def _alone(trials: Sequence[Sequence[MeasuredTrial]], *, are_mixed: bool = False) -> list[Speed]:
    """Return the target alone's speeds, of all clusters together."""
    alone = [one for same in trials for one in with_variant(same, TARGET_ONLY)]
    return speeds_of(alone, are_mixed=are_mixed)


def _costs(trials: Sequence[Sequence[MeasuredTrial]], prices: Prices, energy_source: str) -> list[Cost]:
    alone = [one for same in trials for one in with_variant(same, TARGET_ONLY)]
    costs = costs_of(alone, prices, energy_source)
    return costs + [cost for same in trials for cost in costs_of(same, prices, energy_source) if cost.draft]
