"""The command line of the suite."""

import pytest

from benchmarks.comparison.cell import POISSON, Arrivals
from benchmarks.comparison.options import read_plan
from benchmarks.comparison.presets import ONE_CORE_EACH, SHARED_CORES
from benchmarks.peers.exchange import RoundTrips
from paceline.errors import ConfigError


def test_without_options_it_is_the_quick_preset() -> None:
    plan = read_plan([])
    assert {cell.kind for cell in plan.cells} == {"code", "prose"}
    assert all(cell.num_sessions == 1 for cell in plan.cells)
    assert [one.key for one in plan.cells[0].systems] == [
        "ours-target",
        "ours-adaptive",
        "genai-target",
        "genai-k3",
        "genai-k5",
    ]


def test_what_is_shown_is_measured_at_least_five_times() -> None:
    plan = read_plan(["--preset", "shows"])
    assert plan.amount.num_repeats >= 5
    assert len({cell.key for cell in plan.cells}) == len(plan.cells)
    assert {cell.num_sessions for cell in plan.cells} >= {1, 4, 16, 32}


def test_single_shows_can_be_chosen() -> None:
    cells = read_plan(["--preset", "shows", "--shows", "1"]).cells
    assert {(cell.cores, cell.kind, cell.temperature) for cell in cells} == {
        (ONE_CORE_EACH, "code", 0.0),
        (ONE_CORE_EACH, "prose", 0.0),
        (ONE_CORE_EACH, "code", 0.7),
    }


def test_other_options_narrow_a_preset() -> None:
    cells = read_plan(
        ["--preset", "full", "--kinds", "chat", "--sessions", "16", "--systems", "genai-target"]
    ).cells
    assert {(cell.kind, cell.num_sessions) for cell in cells} == {("chat", 16)}
    assert {one.key for cell in cells for one in cell.systems} == {"genai-target"}


def test_without_a_preset_they_are_combined_each_with_each() -> None:
    options = ["--kinds", "code,chat", "--sessions", "1,4", "--cores", "all=0-1", "--num-draft-tokens", "7"]
    plan = read_plan([*options, "--systems", "ours-fixed", "--arrivals", "poisson:0.5"])
    assert len(plan.cells) == 4
    assert {cell.cores for cell in plan.cells} == {SHARED_CORES}
    assert {cell.arrivals for cell in plan.cells} == {Arrivals(POISSON, 0.5)}
    assert {one.key for cell in plan.cells for one in cell.systems} == {"ours-k7"}


def test_over_a_distance_only_ours_is_measured() -> None:
    plan = read_plan(["--rtt-ms", "0,15", "--draft-rtt-ms", "same", "--systems", "ours-target,genai-target"])
    assert [cell.round_trips for cell in plan.cells] == [RoundTrips(0.0, 0.0), RoundTrips(15.0, 15.0)]
    assert {one.key for cell in plan.cells for one in cell.systems} == {"ours-target"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--systems", "vllm"], "ours-target"),
        (["--preset", "shows", "--shows", "5"], "round_overhead"),
        (["--preset", "quick", "--sessions", "99"], "nothing is left"),
        (["--rtt-ms", "1", "--draft-rtt-ms", "far"], "number or same"),
        (["--target-weights", "f16"], "leave GenAI out"),
    ],
)
def test_what_makes_no_sense_is_refused_with_what_would(options: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_plan(options)


def test_a_target_may_be_computed_elsewhere_which_is_another_measurement() -> None:
    elsewhere = ["--target-engine", "torch", "--target-device", "cuda", "--target-weights", "f16"]
    ours = ["--systems", "ours-target,ours-adaptive"]
    there, here = read_plan([*ours, *elsewhere]).models, read_plan(ours).models
    assert (there.target_engine, there.target_device, there.target_weights) == ("torch", "cuda", "f16")
    assert (here.target_engine, here.target_device) == (None, None)
    assert str(there) != str(here), "the journal of one would be taken for that of the other"
