"""The adaptive draft length in simulated pools: it finds about the best one, and hardly loses where none pays."""

import pytest

from orchestrator.ahead_record import AheadRecord
from orchestrator.draft_length import RoundForecast, best_draft_length, expected_tokens
from orchestrator.draft_planner import DraftPlanner
from orchestrator.generation_task import SpeculationPlan
from orchestrator.length_study import longest_wait
from orchestrator.pair_record import PairRecord
from orchestrator.replica_pace import DraftPace, TargetPace
from orchestrator.round_forecast import Partners
from paceline.client.generation import Drafter, SpeculationMode
from tests.orchestrator.simulated_pools import SimulatedPools, World, gpu, one_core

LENGTHS = (0, 1, 2, 3, 5, 8)


def rates(world: World) -> tuple[float, float, float]:
    """Tokens a second of a session: adaptive, with the best fixed length, of the target alone."""
    long = world._replace(num_rounds=max(120, 800 // world.num_sessions))
    fixed = {length: SimulatedPools(long, length).run() for length in LENGTHS}
    return SimulatedPools(world).run(), max(fixed.values()), fixed[0]


@pytest.mark.parametrize("curve", [one_core, gpu])
@pytest.mark.parametrize("drafts_ahead", [True, False])
@pytest.mark.parametrize("acceptance", [0.1, 0.4, 0.7, 0.95])
@pytest.mark.parametrize(("step_share", "hop_seconds"), [(0.0, 0.005), (0.2, 0.0), (0.2, 0.05), (0.8, 0.0)])
def test_one_session_comes_close_to_the_best_fixed_length_and_never_loses_to_the_target_alone(
    curve, drafts_ahead, acceptance, step_share, hop_seconds
):
    world = World(curve, 1, acceptance, step_share, hop_seconds, drafts_ahead)
    adaptive, best, alone = rates(world)
    assert adaptive > 0.9 * best, "over 400 rounds, the first ones included"
    assert adaptive > 0.97 * alone


@pytest.mark.parametrize("curve", [one_core, gpu])
@pytest.mark.parametrize(
    ("num_sessions", "acceptance"), [(4, 0.2), (4, 0.8), (16, 0.2), (16, 0.8), (32, 0.6)]
)
def test_sessions_that_begin_together_find_the_length_that_is_best_for_all(curve, num_sessions, acceptance):
    world = World(curve, num_sessions, acceptance, 0.1, 0.002, num_rounds=200 if num_sessions > 16 else 400)
    adaptive, best, alone = rates(world)
    assert adaptive > 0.9 * best
    assert adaptive > 0.95 * alone


def test_many_sessions_on_one_core_do_not_fill_its_passes_with_draft_tokens():
    pools = SimulatedPools(World(one_core, 16, 0.7, 0.1, num_rounds=200))
    pools.run()
    late = [length for session in pools.sessions for length in session.lengths[50:]]
    assert sum(length > 0 for length in late) < 0.15 * len(late)
    assert {session.planner.choice().reason for session in pools.sessions} <= {"BATCH_FULL", "PAYS"}


def test_drafts_that_are_foretold_to_pay_and_do_not_are_given_up():
    """A draft that many sessions wait for and that takes its target's time: each session by itself sees a gain."""
    world = World(
        one_core,
        16,
        0.8,
        0.35,
        0.002,
        slowed_by_drafts=2.0,
        draft_row_price=1.0,
        shares_cores=True,
        num_rounds=200,
    )
    pools = SimulatedPools(world)
    pools.run()
    assert pools.pair.pay.is_overruled(16)
    assert not any(session.planner.choice().num_draft_tokens for session in pools.sessions)


def test_an_overruled_pair_does_not_even_read_the_prompts_of_new_sessions():
    pools = SimulatedPools(World(one_core, 16, 0.8, 0.35, slowed_by_drafts=2.0, draft_row_price=1.0))
    pools.run()
    planner = DraftPlanner(SpeculationPlan.of(SpeculationMode.ADAPTIVE, Drafter.MODEL, 8), 6)
    wish = planner.next_round(0, 1000, Partners(pools.target, 16, pools.draft, 500, pools.pair))
    assert wish.length == (0, 0, 0, 0)


def test_where_drafting_ahead_slows_the_target_down_it_is_given_up():
    shared = SimulatedPools(World(one_core, 1, 0.7, 0.2, slowed_by_ahead=0.6))
    apart = SimulatedPools(World(one_core, 1, 0.7, 0.2))
    shared.run()
    apart.run()
    assert not shared.pair.ahead.is_on
    assert apart.pair.ahead.is_on


def test_on_shared_cores_drafting_ahead_begins_off_and_is_only_tried_while_it_does_not_pay():
    pools = SimulatedPools(World(one_core, 1, 0.7, 0.2, slowed_by_ahead=0.6, shares_cores=True))
    pools.run()
    assert not pools.pair.ahead.is_on
    [session] = pools.sessions
    assert 0 < session.num_rounds_ahead < 0.06 * len(session.lengths)


def test_on_shared_cores_drafting_ahead_is_taken_up_where_it_pays():
    pools = SimulatedPools(World(one_core, 1, 0.7, 0.2, shares_cores=True))
    pools.run()
    assert pools.pair.ahead.is_on


@pytest.mark.parametrize("mode", [SpeculationMode.FIXED, SpeculationMode.ADAPTIVE])
def test_what_is_drafted_ahead_beside_the_prompt_is_to_be_made_guesses_of(mode):
    partners = Partners(TargetPace(), 1, DraftPace(), 1, PairRecord())
    planner = DraftPlanner(SpeculationPlan.of(mode, Drafter.MODEL, 5), 6, 3)
    assert planner.next_round(0, 100, partners).length == (0, 6, 0, 3)


def test_fixed_lengths_go_ahead_as_the_pair_does():
    partners = Partners(TargetPace(), 1, DraftPace(), 1, PairRecord(AheadRecord(is_on=False)))
    planner = DraftPlanner(SpeculationPlan.of(SpeculationMode.FIXED, Drafter.MODEL, 5), 6, 3)
    assert planner.next_round(1, 100, partners).length == (5, 0, 5, 0)


def test_a_session_starts_from_what_others_have_taught():
    pools = SimulatedPools(World(one_core, 1, 0.05, 0.4))
    pools.run()
    plan = SpeculationPlan.of(SpeculationMode.ADAPTIVE, Drafter.MODEL, 8)
    planner = DraftPlanner(plan, 6)
    planner.next_round(1, 1000, Partners(pools.target, 1, pools.draft, 1, pools.pair))
    assert planner.choice().reason == "DRAFT_REFUSED_TOO_OFTEN"


@pytest.mark.parametrize(
    ("world", "reason"),
    [
        (World(one_core, 1, 0.9, 0.1, 0.0), "PAYS"),
        (World(one_core, 1, 0.05, 0.1, 0.0), "DRAFT_REFUSED_TOO_OFTEN"),
        (World(one_core, 1, 0.7, 2.0, 0.0, drafts_ahead=False), "DRAFT_TOO_SLOW"),
        (World(one_core, 16, 0.7, 0.05, 0.0, num_rounds=150), "BATCH_FULL"),
    ],
)
def test_a_choice_says_why(world, reason):
    pools = SimulatedPools(world)
    pools.run()
    choice = pools.sessions[0].planner.choice()
    assert choice.reason == reason
    assert choice.target_only_tokens_per_second > 0
    assert (choice.tokens_per_second > choice.target_only_tokens_per_second) == (reason == "PAYS")
    assert choice.num_reported_draft_tokens >= 1
    assert 0 < choice.acceptance < 1


def test_a_draft_that_is_far_behind_is_brought_up_and_not_waited_for():
    planner = DraftPlanner(SpeculationPlan.of(SpeculationMode.ADAPTIVE, Drafter.MODEL, 8), 6)
    for lag in (None, 100):
        wish = planner.next_round(1, 1000, Partners(TargetPace(), 1, DraftPace(), lag, PairRecord()))
        assert wish.is_refresh
        assert wish.length.num_draft_tokens > 0, "prompt lookup may propose meanwhile"
    assert not planner.next_round(1, 1000, Partners(TargetPace(), 1, DraftPace(), 1, PairRecord())).is_refresh


def test_a_slightly_better_length_does_not_take_the_place_of_the_present_one():
    forecast = RoundForecast(
        (1.0, 1.5, 1.75), (0.0, 0.0, 0.0), (0.150, 0.149, 0.173)
    )  # 6.7, 10.07, 10.1 a second
    assert [best_draft_length(forecast, present) for present in range(3)] == [2, 1, 2]


def test_a_length_that_is_clearly_better_does():
    forecast = RoundForecast(expected_tokens((0.5, 0.5)), (0.0, 0.0, 0.0), (0.10, 0.11, 0.12))
    assert [best_draft_length(forecast, present) for present in range(3)] == [2, 2, 2]


def test_draft_tokens_that_promise_next_to_nothing_are_left_out():
    forecast = RoundForecast((1.0, 1.5), (0.0, 0.0), (0.100, 0.146))
    assert [best_draft_length(forecast, present) for present in (0, 1)] == [0, 0]
    a_little = RoundForecast((1.0, 1.5), (0.0, 0.0), (0.100, 0.141))
    assert [best_draft_length(a_little, present) for present in (0, 1)] == [0, 1], (
        "to begin takes a little more"
    )


def test_a_fixed_plan_stays_what_it_is_and_no_draft_is_wanted_that_could_not_be_sent():
    partners = Partners(TargetPace(), 1, DraftPace(), 1, PairRecord())
    planner = DraftPlanner(SpeculationPlan.of(SpeculationMode.FIXED, Drafter.MODEL, 5), 6, 3)
    assert planner.next_round(0, 100, partners).length == (0, 6, 0, 3)
    assert planner.next_round(1, 100, partners) == ((5, 6, 5, 3), None, False)
    assert planner.next_round(2, 3, partners).length == (2, 0, 2, 0)
    assert planner.choice().reason == "FIXED"
    assert SpeculationPlan.of(SpeculationMode.FIXED, Drafter.NONE, 5).num_draft_tokens == 0
    off = DraftPlanner(SpeculationPlan.of(SpeculationMode.OFF, Drafter.MODEL, 5), 6)
    assert off.next_round(1, 100, partners).length == (0, 0, 0, 0)
    assert off.choice().reason == "OFF"


def test_an_adaptive_plan_without_room_for_a_draft_says_so():
    planner = DraftPlanner(SpeculationPlan.of(SpeculationMode.ADAPTIVE, Drafter.MODEL, 5), 6)
    partners = Partners(TargetPace(), 1, DraftPace(), 1, PairRecord())
    assert planner.choice().reason == "NOT_ENOUGH_TOKENS"
    assert planner.next_round(1, 1, partners).length.num_draft_tokens == 0
    assert planner.choice().reason == "NOT_ENOUGH_TOKENS"
    assert planner.next_round(1, 20, partners).length.num_draft_tokens > 0
    assert planner.choice().reason == "NOT_MEASURED"


def test_a_proposal_that_is_no_hit_is_waited_for_too():
    """A length is chosen for what it brings with its misses; giving up on one brings nothing for the wait."""
    hits_are_usual = RoundForecast((1.0, 1.5), (0.0, 0.01), (0.1, 0.1), miss_seconds=(0.0, 0.09))
    assert 0.09 < longest_wait(hits_are_usual, 1) < 0.18
    nothing_is_known = hits_are_usual._replace(miss_seconds=())
    assert longest_wait(nothing_is_known, 1) < 0.09
