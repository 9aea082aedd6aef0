"""Which tokens are too unlikely to be chosen: top_k, then top_p, then min_p, as transformers and vLLM order them.

Of equal logits the lower id counts as the more likely one. transformers keeps all that equal the k-th logit, so that
top_k may keep more than k there; here it keeps exactly k. Nothing sorts the vocabulary: a bound that surely holds what
is kept is found first, and only what lies above it is ordered.
"""

import math

import numpy as np
import numpy.typing as npt

from paceline.sampling.candidates import Candidates, Floats, Indices
from paceline.sampling.parameters import SamplingParameters

# Fewer than this are sorted without looking for a bound.
_SORTED_AT_ONCE = 1024
# Many equal weights cannot be told apart by bisection.
_MAX_BISECTIONS = 40
# Log-weights down to which a nucleus is looked for, the next where it is not reached; the last has all weights above 0.
_GAPS = (4.0, 8.0, 12.0, 16.0, 24.0, 700.0)


def truncate(candidates: Candidates, parameters: SamplingParameters) -> Candidates:
    """Return the candidates that are kept, at least one."""
    if parameters.top_k is not None and parameters.top_k < len(candidates):
        candidates = candidates.subset(np.sort(most_likely(candidates.logits, parameters.top_k)))
    # What min_p keeps does not depend on the sum of the weights, but what top_p keeps does: it comes before.
    likely = candidates.at_least(math.log(parameters.min_p)) if parameters.min_p else None
    if parameters.top_p < 1.0:
        kept = _nucleus(candidates, parameters.top_p)
        likely = kept if likely is None else np.intersect1d(kept, likely, assume_unique=True)
    return candidates if likely is None else candidates.subset(likely)


def most_likely(logits: npt.NDArray[np.float32], num_kept: int) -> Indices:
    """Return the indices of the highest logits [<= num_kept], the highest first, the lower index of equals first.

    Entries of -inf are left out.
    """
    bound = _lower_bound(logits, num_kept)
    found = np.flatnonzero(logits >= bound if bound > -np.inf else logits > bound)
    if len(found) > max(2 * num_kept, _SORTED_AT_ONCE):
        exact = np.partition(logits[found], len(found) - num_kept)[len(found) - num_kept]
        # Of those that equal the last one kept, the first will do.
        is_kept = logits[found] > exact
        equals = np.flatnonzero(logits[found] == exact)[: num_kept - np.count_nonzero(is_kept)]
        is_kept[equals] = True
        found = found[is_kept]
    return found[np.argsort(-logits[found], kind="stable")[:num_kept]]


def _lower_bound(logits: npt.NDArray[np.float32], num_kept: int) -> float:
    """Return a value that at least `num_kept` logits reach, if there are so many, and few more do.

    Among the maxima of disjoint groups, the k-th highest is reached by at least k logits, one in each group.
    """
    group_size = min(64, len(logits) // (4 * num_kept))
    if group_size < 2:
        return -np.inf
    num_groups = len(logits) // group_size
    maxima = logits[: num_groups * group_size].reshape(group_size, num_groups).max(axis=0)
    return float(np.partition(maxima, num_groups - num_kept)[num_groups - num_kept])


def _nucleus(candidates: Candidates, top_p: float) -> Indices:
    """Return the smallest set of the likeliest candidates whose mass reaches top_p, ascending."""
    wanted = top_p * candidates.total
    head, log_weights = np.empty(0, np.int64), np.empty(0)
    for gap in _GAPS:
        head = candidates.at_least(-gap)
        log_weights = candidates.log_weights_at(head)
        if np.exp(log_weights).sum() >= wanted:
            break
    return head[_reaching(log_weights, wanted)]


def _reaching(log_weights: Floats, wanted: float) -> npt.NDArray[np.bool_]:
    """Return which weights make up the fewest whose sum reaches `wanted`; all where even their sum does not.

    Bisection narrows down to a few weights among which the border lies; they alone are sorted.
    """
    weights = np.exp(log_weights)
    is_kept = np.zeros(len(weights), np.bool_)
    left = np.arange(len(weights))
    lowest, highest = log_weights.min(), log_weights.max()
    for _ in range(_MAX_BISECTIONS):
        if len(left) <= _SORTED_AT_ONCE:
            break
        middle = (lowest + highest) / 2
        is_above = log_weights[left] >= middle
        above = left[is_above]
        mass = float(weights[above].sum())
        if mass >= wanted:
            left, lowest = above, middle
        else:
            is_kept[above] = True
            left, highest, wanted = left[~is_above], middle, wanted - mass
    order = left[np.argsort(-log_weights[left], kind="stable")]
    num_kept = int(np.searchsorted(np.cumsum(weights[order]), wanted)) + 1
    is_kept[order[:num_kept]] = True
    return is_kept
