"""Exact acceptance at one position."""

import numpy as np
import pytest

from paceline.cli.evaluation.reading.expected import Expected, ExpectingSelector, distributions_at, mean_of
from paceline.sampling.parameters import SamplingParameters
from paceline.sampling.selector import selector_for

HALVES = SamplingParameters(temperature=1.0)


def row(*probs: float) -> np.ndarray:
    with np.errstate(divide="ignore"):
        return np.log(np.array(probs, np.float32))


def test_the_same_distribution_is_always_accepted() -> None:
    both = row(0.5, 0.25, 0.25)
    assert distributions_at(HALVES, both, both).expected == pytest.approx((1.0, 1.0, 1.0), abs=1e-4)


def test_a_certain_draft_for_a_target_of_two_minds() -> None:
    """1 / (max(1, 1) + max(1, 0)) for shared noise, and the common mass for what is rejected."""
    assert distributions_at(HALVES, row(0.5, 0.5), row(1.0, 0.0)).expected == pytest.approx((0.5, 0.5, 0.5))


def test_shared_noise_is_never_better_than_the_optimum() -> None:
    found = distributions_at(HALVES, row(0.6, 0.3, 0.1), row(0.2, 0.3, 0.5)).expected
    assert found.optimum == pytest.approx(0.6)
    assert found.rejection == pytest.approx(0.6, abs=1e-4)
    assert (1 - 0.4) / (1 + 0.4) <= found.shared < found.optimum


def test_ids_that_one_model_does_not_have_are_ones_that_it_never_chooses() -> None:
    assert distributions_at(HALVES, row(0.5, 0.5), row(0.5, 0.25, 0.25)).expected.optimum == pytest.approx(
        0.75
    )
    assert distributions_at(HALVES, row(0.5, 0.25, 0.25), row(0.5, 0.5)).expected.optimum == pytest.approx(
        0.75
    )


def test_a_selector_looks_at_the_positions_that_it_is_given_and_chooses_as_before() -> None:
    parameters = SamplingParameters(temperature=1.0, seed=5)
    logits = np.random.default_rng(0).normal(0, 2, (6, 50)).astype(np.float32)
    positions = np.arange(10, 16)
    selector = ExpectingSelector(
        selector_for(parameters), parameters, {11: logits[1], 14: logits[0], 99: logits[0]}
    )
    chosen = selector(logits, positions, ())
    assert chosen.tolist() == selector_for(parameters)(logits, positions, ()).tolist()
    assert len(selector.expected) == 2
    assert selector.expected[0] == pytest.approx((1.0, 1.0, 1.0), abs=1e-3)
    assert selector.expected[1].optimum < 0.99


def test_means_are_of_each_figure() -> None:
    assert mean_of([Expected(0.0, 0.5, 1.0), Expected(1.0, 0.5, 1.0)]) == Expected(0.5, 0.5, 1.0)
    assert mean_of([]) is None
