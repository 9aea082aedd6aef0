"""The loss and its gradient, against the plain formula and autograd."""

import math

import numpy as np
import pytest

from tests.paceline.distillation.small_target import VOCABULARY_SIZE, documents

torch = pytest.importorskip("torch", reason="torch is not installed (`make setup` installs it)")

from torch import Tensor  # noqa: E402

from paceline.distillation.batch import Batch, make_batch  # noqa: E402
from paceline.distillation.loss import draw_candidates, loss_and_gradients  # noqa: E402

pytestmark = pytest.mark.reference

SIZE = 16
NEXT_WEIGHT = 0.3


@pytest.fixture
def batch() -> Batch:
    return make_batch([documents([30, 41, 22])], 100)


@pytest.fixture
def hidden(batch: Batch) -> Tensor:
    return torch.randn(len(batch.next_ids), SIZE, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def embedding() -> Tensor:
    return torch.randn(VOCABULARY_SIZE, SIZE, generator=torch.Generator().manual_seed(1)) / 2


def plain_loss(hidden: Tensor, embedding: Tensor, batch: Batch) -> Tensor:
    """As the module's docstring has it."""
    logprobs = torch.log_softmax(hidden @ embedding.T, dim=1)
    wanted = torch.from_numpy(batch.label_logprobs).exp()
    found = logprobs.gather(1, torch.from_numpy(batch.label_ids))
    rest = 1 - wanted.sum(1)
    found_rest = (1 - found.exp().sum(1)).log()
    divergence = (wanted * (wanted.log() - found)).sum(1) + rest * (rest.log() - found_rest)
    own = logprobs.gather(1, torch.from_numpy(batch.next_ids)[:, None])[:, 0]
    return (divergence - NEXT_WEIGHT * own).mean()


def test_with_every_token_a_candidate_loss_and_gradient_are_exact(
    batch: Batch, hidden: Tensor, embedding: Tensor
) -> None:
    candidates = draw_candidates(batch, VOCABULARY_SIZE, VOCABULARY_SIZE, torch.Generator())
    assert sorted(candidates.token_ids.tolist()) == list(range(VOCABULARY_SIZE))
    rows = embedding[candidates.token_ids]
    found = loss_and_gradients(hidden, rows, candidates, NEXT_WEIGHT, torch.float32)
    hidden, rows = hidden.requires_grad_(), rows.requires_grad_()
    table = torch.empty_like(rows).index_copy(0, candidates.token_ids, rows)
    expected = plain_loss(hidden, table, batch)
    expected.backward()
    assert found.loss == pytest.approx(expected.item(), rel=1e-4)
    torch.testing.assert_close(found.hidden, hidden.grad, atol=1e-6, rtol=1e-3)
    torch.testing.assert_close(found.rows, rows.grad, atol=1e-6, rtol=1e-3)


def test_a_sample_of_the_vocabulary_stands_for_all_of_it(hidden: Tensor, embedding: Tensor) -> None:
    few = make_batch([documents([6])], 100)
    hidden, embedding = hidden[: len(few.next_ids)], embedding / 4
    losses: list[float] = []
    for seed in range(200):
        candidates = draw_candidates(few, VOCABULARY_SIZE, 60, torch.Generator().manual_seed(seed))
        named = {*few.next_ids.tolist(), *few.label_ids.flatten().tolist()}
        assert named <= set(candidates.token_ids.tolist())
        num_others = len(candidates.token_ids) - candidates.num_named
        num_stood_for = candidates.num_named + num_others * math.exp(candidates.log_weight)
        assert num_stood_for == pytest.approx(VOCABULARY_SIZE)
        rows = embedding[candidates.token_ids]
        losses.append(loss_and_gradients(hidden, rows, candidates, NEXT_WEIGHT, torch.float32).loss)
    assert np.mean(losses) == pytest.approx(plain_loss(hidden, embedding, few).item(), rel=0.02)
