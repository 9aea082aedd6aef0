"""What a million tokens need."""

from dataclasses import replace

import pytest

from paceline.cli.benchmark.trial import ADAPTIVE, TARGET_ONLY
from paceline.cli.evaluation.cost import costs_of
from paceline.cli.evaluation.findings import Prices
from tests.paceline.cli.evaluation.made_trials import alone, trial

ANSWER = alone(("code", "a"), 10)
CPU = {"draft": 0.36, "target": 3.6, "orchestrator": 0.036}
PRICES = Prices(draft_core_hour=0.1, target_core_hour=1.0)


def test_core_hours_and_servers_are_by_pool() -> None:
    [found] = costs_of(
        [trial(ADAPTIVE, ANSWER, cpu_seconds=CPU)], Prices(rate=100, cores_per_server=8), "rapl"
    )
    assert found.core_hours_by_pool == pytest.approx({"draft": 10.0, "target": 100.0, "orchestrator": 1.0})
    assert found.servers_for_rate == pytest.approx({"draft": 0.45, "target": 4.5, "orchestrator": 0.045})
    assert (found.draft, found.variant, found.num_sessions, found.price) == ("small", "adaptive", 1, None)


def test_prices_are_those_of_the_pools_and_of_energy() -> None:
    made = trial(ADAPTIVE, ANSWER, cpu_seconds=CPU, joules=36.0)
    [found] = costs_of([made], PRICES, "rapl")
    assert found.price == pytest.approx(10 * 0.1 + 1 * 0.1 + 100 * 1.0)
    [found] = costs_of([made], replace(PRICES, kwh=0.5), "rapl")
    assert found.energy_kwh == pytest.approx(1.0)
    assert found.energy_source == "rapl"
    assert found.price == pytest.approx(101.1 + 0.5)
    [found] = costs_of([made], Prices(kwh=0.5), "rapl")
    assert found.price == pytest.approx(0.5)


def test_energy_is_reckoned_from_watts_where_it_cannot_be_read() -> None:
    made = trial(ADAPTIVE, ANSWER, cpu_seconds=CPU)
    [found] = costs_of([made], Prices(watts_per_core=10.0), "not measured: no counter")
    assert found.energy_kwh == pytest.approx(1.11)
    assert found.energy_source == "watts of a core, as given"
    [found] = costs_of([made], Prices(kwh=0.5), "not measured: no counter")
    assert (found.energy_kwh, found.energy_source, found.price) == (None, "not measured: no counter", None)


def test_energy_of_a_part_of_the_trials_is_no_energy() -> None:
    trials = [trial(ADAPTIVE, ANSWER, joules=1.0), trial(ADAPTIVE, ANSWER, repeat=1)]
    [found] = costs_of(trials, PRICES, "rapl")
    assert (found.energy_kwh, found.energy_source) == (None, "not measured in all trials")
    assert (found.core_hours_by_pool, found.price) == ({}, None)


def test_each_load_has_a_cost_of_its_own() -> None:
    trials = [
        trial(TARGET_ONLY, ANSWER, cpu_seconds=CPU),
        trial(TARGET_ONLY, ANSWER, ANSWER, cpu_seconds=CPU),
        trial(ADAPTIVE, ANSWER, ANSWER, cpu_seconds=CPU),
    ]
    found = costs_of(trials, PRICES, "rapl")
    assert [(one.draft, one.variant, one.num_sessions) for one in found] == [
        ("", "target-only", 1),
        ("", "target-only", 2),
        ("small", "adaptive", 2),
    ]
    assert found[1].core_hours_by_pool["target"] == pytest.approx(50.0)
