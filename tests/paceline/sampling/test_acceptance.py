"""The formulas that acceptance is compared with."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from paceline.sampling.acceptance import expected_acceptance_optimum, expected_acceptance_shared
from paceline.sampling.parameters import SamplingParameters
from paceline.sampling.selector import selector_for
from tests.paceline.sampling.reference import Floats, exact_probs
from tests.paceline.sampling.rows import rows_of

NUM_DRAWS = 10_000


def by_definition(target: Floats, draft: Floats) -> float:
    shared = [i for i in range(len(target)) if target[i] > 0 and draft[i] > 0]
    return sum(1 / sum(np.maximum(target / target[i], draft / draft[i])) for i in shared)


weights = arrays.arrays(np.float64, 12, elements=st.just(0.0) | st.floats(1e-6, 1.0))


@given(weights, weights)
def test_the_sorted_sum_is_the_formula(target: Floats, draft: Floats) -> None:
    if not (target.any() and draft.any()):
        return
    target, draft = target / target.sum(), draft / draft.sum()
    expected = expected_acceptance_shared(target, draft)
    optimum = expected_acceptance_optimum(target, draft)
    assert expected == pytest.approx(by_definition(target, draft))
    distance = 1 - optimum
    assert (1 - distance) / (1 + distance) - 1e-9 <= expected <= optimum + 1e-9


def test_the_same_distribution_is_always_accepted() -> None:
    probs = np.array([0.5, 0.3, 0.2, 0.0])
    assert expected_acceptance_shared(probs, probs) == pytest.approx(1.0)
    assert expected_acceptance_optimum(probs, probs) == pytest.approx(1.0)


@pytest.mark.parametrize("spread", [0.3, 1.0, 3.0])
def test_shared_noise_accepts_as_often_as_the_formula_says(spread: float) -> None:
    parameters = SamplingParameters(1.0, seed=7)
    target = rows_of("model", 1, 64)[0]
    draft = target + np.random.default_rng(1).normal(0, spread, 64).astype(np.float32)
    positions, context = np.arange(NUM_DRAWS), [0] * NUM_DRAWS
    choices = [
        selector_for(parameters)(np.broadcast_to(row, (NUM_DRAWS, 64)), positions, context)
        for row in (target, draft)
    ]
    accepted = float((choices[0] == choices[1]).mean())
    target_probs, draft_probs = exact_probs(parameters, target), exact_probs(parameters, draft)
    expected = expected_acceptance_shared(target_probs, draft_probs)
    error = (expected * (1 - expected) / NUM_DRAWS) ** 0.5
    assert abs(accepted - expected) < 4 * error
    distance = 1 - expected_acceptance_optimum(target_probs, draft_probs)
    assert accepted > (1 - distance) / (1 + distance) - 4 * error
