"""The adaptive draft length against a simulated pair: it finds the best one, and gives up where none pays."""

import random

import pytest

from orchestrator.draft_length import RoundForecast, best_draft_length, expected_tokens
from orchestrator.draft_planner import DraftPlanner
from orchestrator.generation_task import SpeculationPlan
from paceline.client.generation import Drafter, SpeculationMode

MAX_DRAFT_TOKENS = 8


def simulated(acceptance: float, seconds_per_token: float, num_rounds: int = 400) -> list[int]:
    """Lengths chosen where a round takes 0.1 seconds and so much more for each draft token."""
    plan = SpeculationPlan.of(SpeculationMode.ADAPTIVE, Drafter.MODEL, MAX_DRAFT_TOKENS)
    planner, generator, lengths = DraftPlanner(plan, 0), random.Random(1), []
    for round_ in range(1, num_rounds):
        length = planner.next_length(round_, 1000).num_draft_tokens
        num_accepted = next((i for i in range(length) if generator.random() > acceptance), length)
        planner.note(length, num_accepted, 0.1 + seconds_per_token * length)
        lengths.append(length)
    return lengths


def rate(lengths: list[int], acceptance: float, seconds_per_token: float) -> float:
    seconds = sum(0.1 + seconds_per_token * length for length in lengths)
    return sum(expected_tokens(acceptance, length) for length in lengths) / seconds


@pytest.mark.parametrize("acceptance", [0.1, 0.4, 0.6, 0.8, 0.95])
@pytest.mark.parametrize("seconds_per_token", [0.0, 0.005, 0.02, 0.08])
def test_the_chosen_lengths_come_close_to_the_best_fixed_one(acceptance, seconds_per_token):
    chosen = simulated(acceptance, seconds_per_token)
    best = max(rate([length], acceptance, seconds_per_token) for length in range(MAX_DRAFT_TOKENS + 1))
    assert rate(chosen, acceptance, seconds_per_token) > 0.9 * best


def test_where_drafts_are_refused_and_dear_the_target_decodes_nearly_alone():
    chosen = simulated(0.02, 0.05)
    alone = rate([0], 0.02, 0.05)
    assert sum(map(bool, chosen[50:])) < 0.1 * len(chosen[50:])
    assert rate(chosen[50:], 0.02, 0.05) > 0.97 * alone
    assert any(chosen[50:]), "now and then it tries again"


def test_a_slightly_better_length_does_not_take_the_place_of_the_present_one():
    forecast = RoundForecast(0.5, [0.100, 0.149, 0.173])  # 10.0, 10.07 and 10.1 tokens a second
    assert [best_draft_length(forecast, present) for present in range(3)] == [0, 1, 2]


def test_a_length_that_is_clearly_better_does():
    assert best_draft_length(RoundForecast(0.5, [0.10, 0.11, 0.12]), 0) == 2


def test_a_fixed_plan_stays_what_it_is_and_no_draft_is_wanted_that_could_not_be_sent():
    planner = DraftPlanner(SpeculationPlan.of(SpeculationMode.FIXED, Drafter.MODEL, 5), 6)
    assert planner.next_length(0, 100) == (0, 6)
    assert planner.next_length(1, 100) == (5, 6)
    assert planner.next_length(2, 3) == (2, 0)
    assert SpeculationPlan.of(SpeculationMode.FIXED, Drafter.NONE, 5).num_draft_tokens == 0
