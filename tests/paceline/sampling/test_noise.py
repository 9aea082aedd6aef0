"""The words are Philox4x64-10's, wherever they are computed."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paceline.sampling.noise import (
    MAX_GUMBEL,
    MIN_GUMBEL,
    NUM_WORDS,
    Noise,
    Stream,
    gumbel,
    gumbels,
    least_word,
)
from tests.paceline.sampling.philox import philox4x64, word

seeds = st.integers(0, 2**64 - 1)
positions = st.integers(0, 2**40)

GOLDEN = [  # (seed, stream, position, token id, word)
    (0, Stream.TOKEN, 0, 0, 0x08E4D89B),
    (0, Stream.TOKEN, 0, 1, 0x02F4BA64),
    (0, Stream.TOKEN, 0, 8, 0x883987C3),
    (1, Stream.TOKEN, 0, 0, 0x756282DF),
    (0, Stream.ACCEPT, 0, 0, 0xF9A1D176),
    (0, Stream.RESIDUAL, 0, 0, 0x9FFC0C00),
    (0, Stream.DRAFT, 0, 0, 0x1ED21B93),
    (0, Stream.TOKEN, 1, 0, 0xF81BA26E),
    (42, Stream.TOKEN, 100, 50_256, 0x468D8CF7),
    (2**64 - 1, Stream.TOKEN, 2**33, 151_935, 0xEFC29E4F),
]


def test_the_reference_gives_the_known_answer_of_its_authors() -> None:
    assert philox4x64((0, 0, 0, 0), (0, 0)) == (
        0x16554D9ECA36314C,
        0xDB20FE9D672D0FDC,
        0xD7E772CEE186176B,
        0x7E68B68AEC7BA23B,
    )


@pytest.mark.parametrize(("seed", "stream", "position", "token_id", "expected"), GOLDEN)
def test_words_never_change(seed: int, stream: Stream, position: int, token_id: int, expected: int) -> None:
    assert word(seed, stream, position, token_id) == expected
    row = Noise(seed, stream).at(position, 200_000)
    assert row.words_of(np.array([token_id]))[0] == expected
    assert row.words[token_id] == expected


@given(seeds, st.sampled_from(Stream), positions, st.lists(st.integers(0, 151_935), max_size=4))
def test_words_are_those_of_philox(seed: int, stream: Stream, position: int, ids: list[int]) -> None:
    noise = Noise(seed, stream)
    drawn = noise.at(position, 151_936).words_of(np.array(ids, np.int64))
    assert drawn.tolist() == [word(seed, stream, position, token_id) for token_id in ids]
    assert noise.uniform(position) == (word(seed, stream, position, 0) + 0.5) / 2**32


@pytest.mark.parametrize("num_ids", [1, 7, 150, 5000])
def test_words_do_not_depend_on_how_many_are_asked_for(num_ids: int) -> None:
    noise = Noise(3, Stream.TOKEN)
    ids = np.sort(np.random.default_rng(num_ids).choice(151_936, num_ids, replace=False))
    all_words = noise.at(11, 151_936).words
    assert noise.at(11, 151_936).words_of(ids).tolist() == all_words[ids].tolist()
    assert all_words[:1001].tolist() == noise.at(11, 1001).words.tolist()


def test_noise_is_never_infinite() -> None:
    assert MIN_GUMBEL < gumbel(0) < MIN_GUMBEL + 0.01
    assert MAX_GUMBEL - 0.01 < gumbel(NUM_WORDS - 1) < MAX_GUMBEL


@given(st.lists(st.integers(0, NUM_WORDS - 1), min_size=1, max_size=20))
def test_one_word_and_many_give_the_same_noise_up_to_rounding(words: list[int]) -> None:
    many = gumbels(np.array(words, np.uint32))
    assert np.allclose(many, [gumbel(one) for one in words], rtol=1e-12, atol=1e-12)


@given(st.floats(-5.0, 30.0))
def test_no_word_below_the_least_gives_as_much_noise(least: float) -> None:
    first = least_word(least)
    assert first == 0 or gumbel(first - 1) < least
    assert least > MAX_GUMBEL - 0.01 or gumbel(min(first + 3, NUM_WORDS - 1)) >= least
