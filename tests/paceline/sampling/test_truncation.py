"""What top_k, top_p and min_p keep."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paceline.sampling.candidates import Candidates
from paceline.sampling.parameters import SamplingParameters
from paceline.sampling.truncation import most_likely, truncate
from tests.paceline.sampling.reference import exact_probs
from tests.paceline.sampling.rows import SHAPES, rows_of


def kept(logits: list[float], **truncation: float) -> list[int]:
    """The ids that stay, at temperature 1."""
    row = np.array(logits, np.float32)
    parameters = replace(SamplingParameters(1.0), **truncation)
    return truncate(Candidates.of_row(row, 1.0), parameters).ids.tolist()


HALVES = np.log([0.5, 0.25, 0.125, 0.0625, 0.0625]).tolist()


def test_top_k_keeps_exactly_k_and_of_equals_the_lowest_ids() -> None:
    assert kept([1, 3, 2, 3, 2], top_k=3) == [1, 2, 3]
    assert kept([0] * 5000, top_k=3) == [0, 1, 2]
    assert kept([1, 2], top_k=3) == [0, 1]


def test_top_p_keeps_the_smallest_set_that_reaches_it() -> None:
    assert kept(HALVES, top_p=0.5) == [0]
    assert kept(HALVES, top_p=0.51) == [0, 1]
    assert kept(HALVES, top_p=0.9) == [0, 1, 2, 3]
    assert kept(HALVES, top_p=0.95) == [0, 1, 2, 3, 4]
    assert kept(HALVES, top_p=1e-9) == [0]
    assert kept([0] * 5000, top_p=0.0005) == [0, 1, 2]


def test_min_p_is_relative_to_the_most_likely() -> None:
    assert kept(HALVES, min_p=0.3) == [0, 1]
    assert kept(HALVES, min_p=1.0) == [0]
    assert kept([1, 1, 0], min_p=1.0) == [0, 1]


def test_top_p_counts_what_top_k_left() -> None:
    assert kept(HALVES, top_k=2, top_p=0.6) == [0]
    assert kept(HALVES, top_k=2, top_p=0.7) == [0, 1]


def test_masked_tokens_are_never_kept() -> None:
    assert kept([-np.inf, 1, -np.inf, 0], top_k=3) == [1, 3]
    assert kept([-np.inf, 1, -np.inf, 0], top_p=0.999) == [1, 3]
    assert kept([-np.inf, 1, -np.inf, 0]) == [1, 3]


@settings(max_examples=150, deadline=None)
@given(
    vocabulary_size=st.integers(1, 9000),
    shape=st.sampled_from(SHAPES),
    temperature=st.floats(0.05, 5),
    top_k=st.none() | st.integers(1, 10_000),
    top_p=st.just(1.0) | st.floats(0.01, 0.999),
    min_p=st.just(0.0) | st.floats(0.001, 0.999),
    seed=st.integers(0, 999),
)
def test_probabilities_are_those_of_the_full_computation(
    vocabulary_size: int,
    shape: str,
    temperature: float,
    top_k: int | None,
    top_p: float,
    min_p: float,
    seed: int,
) -> None:
    parameters = SamplingParameters(temperature, top_k=top_k, top_p=top_p, min_p=min_p)
    row = rows_of(shape, 1, vocabulary_size, seed)[0]
    candidates = truncate(Candidates.of_row(row, temperature), parameters)
    probs = np.zeros(vocabulary_size)
    probs[candidates.ids] = candidates.probs
    assert abs(probs - exact_probs(parameters, row)).max() < 1e-9
    every = np.arange(vocabulary_size)
    assert abs(candidates.probs_of(every) - probs).max() < 1e-9


@pytest.mark.parametrize("num_kept", [1, 5, 40, 2000, 49_152])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_most_likely_come_in_order(shape: str, num_kept: int) -> None:
    row = rows_of(shape, 1, 49_152)[0]
    assert most_likely(row, num_kept).tolist() == np.argsort(-row, kind="stable")[:num_kept].tolist()
