"""How often a draft token is accepted, computed from both distributions: for evaluation."""

import numpy as np
import numpy.typing as npt

Probs = npt.NDArray[np.float64]  # [vocab_size]


def expected_acceptance_shared(target_probs: Probs, draft_probs: Probs) -> float:
    """Return the probability that Gumbel-max with the same noise chooses the same token from both distributions.

    It is the sum over i of 1 / sum_j max(t_j / t_i, d_j / d_i), over the tokens that both can give, and at least
    (1 - TV) / (1 + TV). Sorted by t / d, the maximum is the first term for all tokens from i on and the second for
    those before it, so that this takes O(n log n).

    Example: (0.5, 0.5) and (1, 0) give 1 / (max(1, 1) + max(1, 0)) = 0.5.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = target_probs / draft_probs
    is_possible = (target_probs > 0) | (draft_probs > 0)
    order = np.argsort(ratios[is_possible], kind="stable")
    target, draft = target_probs[is_possible][order], draft_probs[is_possible][order]
    target_from_here = np.cumsum(target[::-1])[::-1]
    draft_before = np.cumsum(draft) - draft
    is_shared = (target > 0) & (draft > 0)
    target, draft = target[is_shared], draft[is_shared]
    return float((1 / (target_from_here[is_shared] / target + draft_before[is_shared] / draft)).sum())


def expected_acceptance_optimum(target_probs: Probs, draft_probs: Probs) -> float:
    """Return 1 - TV, the most that any way of drafting one token reaches; rejection sampling does."""
    return float(np.minimum(target_probs, draft_probs).sum())
