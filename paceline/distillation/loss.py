"""How far the student is from the target: the loss at soft labels, and its gradient, without a table of all logits.

At each position the target gives the probabilities t to its likeliest tokens, and t_rest to all others together. With
the student's probabilities d the loss is

    KL = sum over labels of t log(t / d) + t_rest log(t_rest / d_rest)

and `next_weight` times -log d of the token that was written. The gradient by a logit, next_weight left out, is d - t at
a label and d (1 - t_rest / d_rest) elsewhere.

The student's sum over the vocabulary is estimated (Jean et al., arXiv 1412.2007): all tokens that are a label anywhere
in the batch count themselves, and of the others a random sample stands for all.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from paceline.distillation.batch import Batch

# Rows of logits at once: few enough to stay in the processor's cache.
_CHUNK = 256
_TINY = 1e-9
# Differences of f32 numbers near 1 are not told apart below this.
_LEAST_REST = 1e-6


class Targets(NamedTuple):
    """What the target thinks, in columns of the candidates."""

    next_columns: Tensor  # [num_labelled]
    label_columns: Tensor  # [num_labelled, num_labels]
    label_probs: Tensor  # [num_labelled, num_labels]


class Candidates(NamedTuple):
    """Tokens among which a batch is judged; a column each."""

    token_ids: Tensor  # [num_candidates]
    num_named: int  # the first ones stand for themselves
    log_weight: float  # log of the number of tokens that each of the others stands for
    targets: Targets


class LossGradients(NamedTuple):
    """Mean loss of the labelled positions, and its gradients."""

    loss: float
    hidden: Tensor  # [num_labelled, hidden_size]
    rows: Tensor  # [num_candidates, hidden_size]


def draw_candidates(
    batch: Batch, vocabulary_size: int, num_sampled: int, generator: torch.Generator
) -> Candidates:
    """Return all tokens that a batch names and a sample of the others."""
    next_ids, label_ids = torch.from_numpy(batch.next_ids), torch.from_numpy(batch.label_ids)
    is_named = torch.zeros(vocabulary_size, dtype=torch.bool)
    is_named[next_ids] = True
    is_named[label_ids.flatten()] = True
    named = is_named.nonzero().squeeze(1)
    others = (~is_named).nonzero().squeeze(1)
    sample = others
    if len(others) > num_sampled:
        sample = others[torch.randperm(len(others), generator=generator)[:num_sampled]]
    token_ids = torch.cat([named, sample])
    log_weight = math.log(len(others) / len(sample)) if len(sample) else 0.0
    column_of = torch.zeros(vocabulary_size, dtype=torch.int64)
    column_of[token_ids] = torch.arange(len(token_ids))
    label_probs = torch.from_numpy(batch.label_logprobs).exp()
    targets = Targets(column_of[next_ids], column_of[label_ids], label_probs)
    return Candidates(token_ids, len(named), log_weight, targets)


def loss_and_gradients(
    hidden: Tensor, rows: Tensor, candidates: Candidates, next_weight: float, compute: torch.dtype
) -> LossGradients:
    """Return the loss of hidden states [num_labelled, hidden_size] and embedding rows [num_candidates, hidden_size].

    Products are computed in `compute`, probabilities in f32. Nothing is recorded for autograd.
    """
    states, table = hidden.detach().to(compute), rows.detach().to(compute)
    hidden_gradient = torch.empty_like(states, dtype=torch.float32)
    rows_gradient = torch.zeros_like(table, dtype=torch.float32)
    loss = 0.0
    for start in range(0, len(states), _CHUNK):
        chunk = slice(start, start + _CHUNK)
        logits = (states[chunk] @ table.T).to(torch.float32)
        logits[:, candidates.num_named :] += candidates.log_weight
        probs = torch.softmax(logits, dim=1)
        targets = Targets(*(one[chunk] for one in candidates.targets))
        loss += _replace_by_gradient(probs, targets, next_weight)
        gradient = probs.to(compute)
        hidden_gradient[chunk] = (gradient @ table).to(torch.float32)
        rows_gradient += (gradient.T @ states[chunk]).to(torch.float32)
    count = max(1, len(states))
    return LossGradients(loss / count, hidden_gradient / count, rows_gradient / count)


def _replace_by_gradient(probs: Tensor, targets: Targets, next_weight: float) -> float:
    """Turn the student's probabilities [num_rows, num_candidates] into the gradient; return the sum of the losses."""
    wanted, columns = targets.label_probs, targets.label_columns
    next_column = targets.next_columns[:, None]
    found = probs.gather(1, columns)
    found_next = probs.gather(1, next_column)
    rest_wanted = (1 - wanted.sum(1, keepdim=True)).clamp_min(0)
    rest_found = (1 - found.sum(1, keepdim=True)).clamp_min(_LEAST_REST)
    divergence = torch.xlogy(wanted, wanted) - wanted * found.clamp_min(_TINY).log()
    rest_divergence = torch.xlogy(rest_wanted, rest_wanted) - rest_wanted * rest_found.log()
    loss = divergence.sum() + rest_divergence.sum() - next_weight * found_next.clamp_min(_TINY).log().sum()
    probs *= 1 + next_weight - rest_wanted / rest_found
    probs.scatter_(1, columns, (1 + next_weight) * found - wanted)
    probs.scatter_add_(1, next_column, torch.full_like(found_next, -next_weight))
    return float(loss)
