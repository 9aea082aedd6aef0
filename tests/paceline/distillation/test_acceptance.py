"""Acceptance from the target's likeliest tokens alone."""

import numpy as np
import pytest

from paceline.sampling.acceptance import expected_acceptance_shared
from tests.paceline.distillation.small_target import documents, small_shape

torch = pytest.importorskip("torch", reason="torch is not installed (`make setup` installs it)")

from paceline.distillation.acceptance import expected_shared, measure_acceptance  # noqa: E402
from paceline.distillation.student import Student  # noqa: E402

pytestmark = pytest.mark.reference


def test_with_every_token_known_it_is_the_exact_figure() -> None:
    generator = np.random.default_rng(0)
    target, draft = (generator.dirichlet(np.full(20, 0.3), 50) for _ in range(2))
    found = expected_shared(torch.from_numpy(target), torch.from_numpy(draft))
    exact = [expected_acceptance_shared(*pair) for pair in zip(target, draft, strict=True)]
    assert found.tolist() == pytest.approx(exact, abs=1e-5)


def test_with_the_likeliest_alone_at_most_the_rest_of_the_target_is_missed() -> None:
    generator = np.random.default_rng(1)
    target, other = (generator.dirichlet(np.full(200, 0.05), 50) for _ in range(2))
    draft = (target + other) / 2
    exact = np.mean([expected_acceptance_shared(*pair) for pair in zip(target, draft, strict=True)])
    top = np.argsort(-target, axis=1)[:, :16]
    kept = [np.take_along_axis(one, top, axis=1) for one in (target, draft)]
    found = float(expected_shared(*map(torch.from_numpy, kept)).mean())
    num_missed = 1 - kept[0].sum(axis=1).mean()
    assert exact - num_missed <= found <= exact + 0.005


def test_greedy_and_sampled_answers_are_counted_apart() -> None:
    some = documents([10, 11, 12, 13])
    found = measure_acceptance(Student(small_shape()), some, 32, 1000)
    assert found.num_greedy == sum(one.num_written for one in some if one.temperature == 0)
    assert found.num_sampled == sum(one.num_written for one in some if one.temperature > 0)
    assert found.greedy is not None
    assert found.shared is not None
    assert 0 <= found.greedy <= 1
    assert 0 < found.shared < 1


def test_nothing_held_out_means_nothing_known() -> None:
    found = measure_acceptance(Student(small_shape()), [], 32, 1000)
    assert (found.num_greedy, found.greedy, found.num_sampled, found.shared) == (0, None, 0, None)
