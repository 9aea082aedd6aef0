"""A draft's distribution: sampled as shipped, and never believed before it is checked."""

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paceline.errors import InvalidRequestError
from paceline.sampling.candidates import Candidates
from paceline.sampling.draft_distribution import (
    MAX_CANDIDATES,
    TOTAL_WEIGHT,
    DraftDistribution,
    quantise,
)
from tests.paceline.sampling.rows import SHAPES, rows_of

VOCABULARY_SIZE = 1000


def quantised(shape: str, temperature: float, seed: int) -> DraftDistribution:
    return quantise(Candidates.of_row(rows_of(shape, 1, VOCABULARY_SIZE, seed)[0], temperature))


@settings(deadline=None)
@given(st.sampled_from(SHAPES), st.floats(0.05, 5), st.integers(0, 99))
def test_it_survives_the_wire(shape: str, temperature: float, seed: int) -> None:
    sent = quantised(shape, temperature, seed)
    assert sent.weights.sum(dtype=int) == TOTAL_WEIGHT
    assert 1 <= len(sent.ids) <= MAX_CANDIDATES
    received = DraftDistribution.decode(sent.encode(), int(sent.ids[-1]), VOCABULARY_SIZE, "drafts")
    assert received.ids.tolist() == sent.ids.tolist()
    assert received.weights.tolist() == sent.weights.tolist()


def test_its_bytes_are_ids_then_weights() -> None:
    distribution = DraftDistribution(np.array([7, 300], np.uint32), np.array([65534, 1], np.uint16))
    assert distribution.encode().hex(" ", 4) == "07000000 2c010000 feff0100"


@settings(deadline=None)
@given(st.sampled_from(SHAPES), st.floats(0.05, 5), st.integers(0, 99))
def test_weights_are_the_probabilities_of_the_likeliest_tokens(
    shape: str, temperature: float, seed: int
) -> None:
    candidates = Candidates.of_row(rows_of(shape, 1, VOCABULARY_SIZE, seed)[0], temperature)
    distribution = quantise(candidates)
    likeliest = np.argsort(-candidates.logits, kind="stable")[:MAX_CANDIDATES]
    assert set(distribution.ids.tolist()) <= set(likeliest.tolist())
    wanted = candidates.probs_of(distribution.ids.astype(np.int64)) / candidates.probs_of(likeliest).sum()
    assert abs(distribution.probs - wanted).max() < 1 / TOTAL_WEIGHT


def test_each_unit_of_weight_is_drawn_equally_often() -> None:
    distribution = quantised("model", 1.0, 0)
    units = (np.arange(TOTAL_WEIGHT) + 0.5) / TOTAL_WEIGHT
    drawn = [distribution.sample(unit) for unit in units.tolist()]
    ids, counts = np.unique(drawn, return_counts=True)
    assert ids.tolist() == distribution.ids.tolist()
    assert counts.tolist() == distribution.weights.tolist()
    assert distribution.sample(0.5 / 2**32) == distribution.ids[0]
    assert distribution.sample(1 - 0.5 / 2**32) == distribution.ids[-1]


def encoded(ids: list[int], weights: list[int]) -> bytes:
    return struct.pack(f"<{len(ids)}I{len(weights)}H", *ids, *weights)


@pytest.mark.parametrize(
    ("sent", "fault"),
    [
        (b"", "has 0 bytes"),
        (encoded([1], [65535])[:-1], "has 5 bytes"),
        (encoded(list(range(129)), [65535 - 128] + [1] * 128), "has 774 bytes"),
        (encoded([5, 1], [65534, 1]), "do not ascend"),
        (encoded([5, 5], [65534, 1]), "do not ascend"),
        (encoded([5, 1000], [65534, 1]), "outside the vocabulary"),
        (encoded([5, 6], [65535, 0]), "weight 0"),
        (encoded([5, 6], [65534, 2]), "sum is not 65535"),
        (encoded([6, 7], [65534, 1]), "gives the draft token 5 no weight"),
    ],
)
def test_what_no_draft_could_have_sent_is_refused(sent: bytes, fault: str) -> None:
    with pytest.raises(InvalidRequestError, match=fault) as refused:
        DraftDistribution.decode(sent, 5, VOCABULARY_SIZE, "draft_distributions")
    assert refused.value.facts["field"] == "draft_distributions"


@given(st.binary(max_size=60), st.integers(0, 999))
def test_any_bytes_are_refused_or_make_a_distribution(sent: bytes, draft_id: int) -> None:
    try:
        distribution = DraftDistribution.decode(sent, draft_id, VOCABULARY_SIZE, "drafts")
    except InvalidRequestError:
        return
    assert distribution.encode() == sent
    assert distribution.prob_of(draft_id) > 0


def test_a_point_is_certain() -> None:
    point = DraftDistribution.point(42)
    assert (point.prob_of(42), point.prob_of(41), point.sample(0.3)) == (1.0, 0.0, 42)
