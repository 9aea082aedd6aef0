"""One row of accept-reject: who is accepted, and what replaces those who are not."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paceline.sampling.acceptance import expected_acceptance_optimum
from paceline.sampling.candidates import Candidates
from paceline.sampling.draft_distribution import DraftDistribution, quantise
from paceline.sampling.noise import Noise, Stream
from paceline.sampling.parameters import SamplingParameters, Verification
from paceline.sampling.rejection import DraftSelector, RejectionSelector, accepts, choose_residual
from paceline.sampling.selector import selector_for
from paceline.sampling.truncation import truncate
from tests.paceline.sampling.rows import SHAPES, rows_of

VOCABULARY_SIZE = 1000
PARAMETERS = SamplingParameters(1.0, seed=3, verification=Verification.REJECTION)


@settings(max_examples=200, deadline=None)
@given(
    target_shape=st.sampled_from(SHAPES),
    draft_shape=st.sampled_from(SHAPES),
    temperature=st.sampled_from([0.1, 0.7, 1.0, 5.0]),
    top_k=st.sampled_from([None, 1, 40]),
    seed=st.integers(0, 99),
)
def test_a_rejected_id_is_never_its_own_replacement(
    target_shape: str, draft_shape: str, temperature: float, top_k: int | None, seed: int
) -> None:
    parameters = SamplingParameters(temperature, top_k=top_k)
    row = rows_of(target_shape, 1, VOCABULARY_SIZE, seed)[0]
    target = truncate(Candidates.of_row(row, temperature), parameters)
    draft_row = rows_of(draft_shape, 1, VOCABULARY_SIZE, seed + 100)[0]
    distribution = quantise(Candidates.of_row(draft_row, temperature))
    probs = target.probs_of(distribution.ids.astype(np.int64))
    noise = Noise(seed, Stream.RESIDUAL)
    for draft_id, prob, draft_prob in zip(
        distribution.ids.tolist(), probs.tolist(), distribution.probs.tolist(), strict=True
    ):
        # Whatever the uniform number: it rejects only where the target finds the id less likely than the draft.
        highest = 1 - 0.5 / 2**32
        if accepts(target, distribution, draft_id, highest):
            assert prob > draft_prob * highest
            continue
        assert prob < draft_prob
        replacement = choose_residual(target, distribution, noise.at(draft_id, VOCABULARY_SIZE))
        assert replacement is not None
        assert replacement.token_id != draft_id
        covered = dict(zip(distribution.ids.tolist(), probs - distribution.probs, strict=True))
        assert covered.get(replacement.token_id, 1.0) > 0


def test_every_draft_of_the_target_itself_is_accepted() -> None:
    row = np.full(VOCABULARY_SIZE, -np.inf, np.float32)
    row[[10, 20, 30]] = 0.0  # 65535 is divisible by 3: the weights are exact
    rows, positions, context = np.tile(row, (50, 1)), np.arange(50), [0] * 50
    drafter = DraftSelector(PARAMETERS)
    draft_ids = drafter(rows, positions, context).tolist()
    assert set(draft_ids) == {10, 20, 30}
    judged = RejectionSelector(PARAMETERS, draft_ids, drafter.distributions)(rows, positions, context)
    assert judged.tolist() == draft_ids


def test_an_impossible_draft_is_replaced() -> None:
    row = np.full(VOCABULARY_SIZE, -np.inf, np.float32)
    row[[10, 20]] = 0.0
    selector = RejectionSelector(PARAMETERS, [5, 5], [None, DraftDistribution.point(5)])
    chosen = selector(np.tile(row, (2, 1)), np.array([1, 2]), [0, 5, 5]).tolist()
    assert set(chosen) <= {10, 20}


def test_the_rows_after_the_drafts_are_those_without_a_draft() -> None:
    rows, positions, context = rows_of("model", 5, VOCABULARY_SIZE), np.arange(1, 6), [0] * 6
    alone = selector_for(PARAMETERS)(rows, positions, context).tolist()
    judged = RejectionSelector(PARAMETERS, [1, 2], [None, None])(rows, positions, context).tolist()
    assert judged[2:] == alone[2:]
    assert RejectionSelector(PARAMETERS, [], [])(rows, positions, context).tolist() == alone


def test_rows_may_come_in_several_passes() -> None:
    rows, positions, context = rows_of("model", 5, VOCABULARY_SIZE), np.arange(1, 6), [0] * 6
    at_once = RejectionSelector(PARAMETERS, [1, 2, 3, 4], [None] * 4)(rows, positions, context)
    selector = RejectionSelector(PARAMETERS, [1, 2, 3, 4], [None] * 4)
    parts = [selector(rows[at], positions[at], context) for at in (slice(0, 2), slice(2, 3), slice(3, 5))]
    assert np.concatenate(parts).tolist() == at_once.tolist()


@pytest.mark.parametrize("spread", [0.3, 1.0, 3.0])
def test_acceptance_is_the_optimum(spread: float) -> None:
    num_draws = 10_000
    target = rows_of("model", 1, 64)[0]
    draft = target + np.random.default_rng(2).normal(0, spread, 64).astype(np.float32)
    positions, context = np.arange(num_draws), [0] * num_draws
    drafter = DraftSelector(PARAMETERS)
    draft_ids = drafter(np.broadcast_to(draft, (num_draws, 64)), positions, context)
    selector = RejectionSelector(PARAMETERS, draft_ids.tolist(), drafter.distributions)
    accepted = float(
        (selector(np.broadcast_to(target, (num_draws, 64)), positions, context) == draft_ids).mean()
    )
    draft_probs = np.zeros(64)
    draft_probs[drafter.distributions[0].ids] = drafter.distributions[0].probs
    expected = expected_acceptance_optimum(Candidates.of_row(target, 1.0).probs, draft_probs)
    assert abs(accepted - expected) < 4 * (expected * (1 - expected) / num_draws) ** 0.5
