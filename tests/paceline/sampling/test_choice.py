"""The quick choice is the full computation's, token for token."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paceline.sampling.candidates import Candidates
from paceline.sampling.choice import choose
from paceline.sampling.noise import Noise, Stream, gumbel
from paceline.sampling.parameters import SamplingParameters
from paceline.sampling.selector import selector_for
from tests.paceline.sampling.reference import exact_choice
from tests.paceline.sampling.rows import SHAPES, rows_of

TRUNCATIONS = [
    {},
    {"top_p": 0.9},
    {"top_k": 40},
    {"min_p": 0.05},
    {"top_k": 50, "top_p": 0.95, "min_p": 0.02},
    {"top_p": 0.999},
    {"top_k": 5000},
]


@pytest.mark.parametrize("vocabulary_size", [49_152, 151_936])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("temperature", [0.3, 1.0, 3.0])
def test_untruncated_choices_are_those_of_the_full_computation(
    vocabulary_size: int, shape: str, temperature: float
) -> None:
    parameters = SamplingParameters(temperature, seed=5)
    rows = rows_of(shape, 4, vocabulary_size)
    positions = np.arange(4) + 100
    chosen = selector_for(parameters)(rows, positions, [0] * 200)
    expected = [exact_choice(parameters, row, at) for row, at in zip(rows, positions.tolist(), strict=True)]
    assert chosen.tolist() == expected


@settings(max_examples=150, deadline=None)
@given(
    vocabulary_size=st.integers(1, 9000),
    shape=st.sampled_from(SHAPES),
    temperature=st.sampled_from([1e-300, 1e-6, 0.1, 0.7, 1.0, 2.0, 100.0]),
    truncation=st.sampled_from(TRUNCATIONS),
    seed=st.integers(0, 2**64 - 1),
)
def test_all_choices_are_those_of_the_full_computation(
    vocabulary_size: int, shape: str, temperature: float, truncation: dict[str, float], seed: int
) -> None:
    parameters = replace(SamplingParameters(temperature, seed), **truncation)
    rows = rows_of(shape, 3, vocabulary_size, seed % 1000)
    chosen = selector_for(parameters)(rows, np.arange(3), [0, 0])
    with np.errstate(over="ignore"):
        expected = [exact_choice(parameters, row, at) for at, row in enumerate(rows)]
    assert chosen.tolist() == expected


def test_of_equal_scores_the_lowest_id_wins() -> None:
    noise = Noise(0, Stream.TOKEN).at(0, 4096)
    words = noise.words.copy()
    words[[700, 900]] = 2**32 - 1
    noise.words = words
    chosen = choose(Candidates.of_row(np.zeros(4096, np.float32), 1.0), noise)
    assert chosen == (gumbel(2**32 - 1), 700)


def test_a_hopeless_token_wins_with_a_high_enough_word() -> None:
    logits = np.zeros(4096, np.float32)
    logits[0] = 20.0
    noise = Noise(0, Stream.TOKEN).at(0, 4096)
    words = np.full(4096, 2**31, np.uint32)
    words[4000] = 2**32 - 1
    noise.words = words
    chosen = choose(Candidates.of_row(logits, 1.0), noise)
    assert chosen is not None
    assert chosen.token_id == 4000


def test_nothing_is_chosen_where_nothing_is_left() -> None:
    candidates = Candidates.of_row(np.zeros(4, np.float32), 1.0).without(np.arange(4))
    assert choose(candidates, Noise(0, Stream.TOKEN).at(0, 4)) is None
