"""Totals for operators, made from what is counted for everybody."""

import pytest

from orchestrator.orchestrator_metrics import OrchestratorMetrics
from paceline.client.generation import (
    DraftLengthChoice,
    FinishReason,
    GenerationSummary,
    GenerationTiming,
    SpeculationSummary,
    Usage,
)
from paceline.client.orchestrator_totals import OrchestratorTotals
from paceline.telemetry.metrics import Metrics


def summary(choice: DraftLengthChoice) -> GenerationSummary:
    return GenerationSummary(
        FinishReason.LENGTH,
        Usage(10, 96, 0),
        SpeculationSummary(31, 124, 65, (31,), (25,), 40, {}, choice=choice),
        GenerationTiming(0.4, 0.06, 6.1, 0.5, 4.0, 0.1, 0.2, 0.0),
    )


def test_nothing_counted_is_nothing_told():
    assert OrchestratorMetrics(Metrics()).totals() == OrchestratorTotals()


def test_finished_and_failed_generations_are_told_apart():
    metrics = OrchestratorMetrics(Metrics())
    metrics.note_summary("big", summary(DraftLengthChoice(4, 6, "FIXED")))
    metrics.note_failure("CANCELLED")
    totals = metrics.totals()
    assert totals.num_generations == 2
    assert totals.num_finished_generations == {"length": 1}
    assert totals.num_failed_generations == {"CANCELLED": 1}


def test_a_generation_that_chose_no_draft_tokens_was_as_fast_as_the_target_alone():
    metrics = OrchestratorMetrics(Metrics())
    metrics.note_summary("big", summary(DraftLengthChoice(4, 6, "PAYS", 0.8, 3.2, 20.0, 10.0)))
    metrics.note_summary("big", summary(DraftLengthChoice(0, 6, "DRAFT_TOO_SLOW", 0.8, 1.6, 5.0, 10.0)))
    metrics.note_summary("big", summary(DraftLengthChoice(4, 6, "FIXED")))
    totals = metrics.totals()
    assert totals.num_speedup_estimates == 2
    assert totals.speedup_sum == pytest.approx(2.0 + 1.0)


def test_totals_can_be_added_and_subtracted():
    earlier = OrchestratorTotals(num_draft_tokens=3, num_failovers={"SILENT": 1})
    later = OrchestratorTotals(num_draft_tokens=5, num_failovers={"SILENT": 1, "DRAINING": 2})
    assert (later - earlier).num_draft_tokens == 2
    assert (later - earlier).num_failovers == {"SILENT": 0, "DRAINING": 2}
    assert (later + earlier).num_failovers == {"SILENT": 2, "DRAINING": 2}
    assert OrchestratorTotals.from_message(later.to_message()) == later
