"""Shares of positions with their confidence."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from paceline.cli.evaluation.findings import Estimate
from paceline.cli.evaluation.reading.share import BLOCK_POSITIONS, share_of


@given(st.lists(st.lists(st.booleans(), max_size=30), min_size=1, max_size=6).filter(any))
def test_the_interval_holds_the_share_of_all_positions(texts: list[list[bool]]) -> None:
    estimate = share_of(texts)
    positions = [one for text in texts for one in text]
    assert estimate.value == sum(positions) / len(positions)
    assert 0 <= estimate.low <= estimate.high <= 1
    assert estimate.low <= estimate.value + 1e-9
    assert estimate.high >= estimate.value - 1e-9


def test_a_short_text_alone_says_nothing_of_the_noise() -> None:
    assert share_of([[True, False, True, True]]) == Estimate(0.75, 0.75, 0.75, 1)


def test_a_long_text_alone_is_drawn_in_blocks() -> None:
    text = [True] * 2 * BLOCK_POSITIONS + [False] * 2 * BLOCK_POSITIONS
    estimate = share_of([text])
    assert estimate.count == 4
    assert (estimate.low, estimate.value, estimate.high) == (0.0, 0.5, 1.0)


def test_more_texts_make_it_surer() -> None:
    generator = np.random.default_rng(0)
    texts = [(generator.random(20) < share).tolist() for share in generator.random(64)]
    few, many = share_of(texts[:8]), share_of(texts)
    assert many.high - many.low < few.high - few.low
    assert many == share_of(texts)
